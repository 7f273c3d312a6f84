//! The page: a folder that is read once, and served from memory.
//!
//! What was not read at the start is not there: no path leads anywhere else, and a slow reader
//! costs a reference.

use alloc::collections::BTreeMap;
use std::fs;
use std::path::Path;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::error::RelayError;
use super::text;

mod inline;

/// Most that is read, bytes: a page is a hundredth of it, and pictures beside it have room.
const MOST: u64 = 64 << 20;

/// Deepest folder below the page's.
const DEPTH: usize = 8;

/// What a page of ours may do: run what came with it, WebAssembly and the scripts and styles that
/// stand in the page itself included, talk to relays and providers anywhere, and show what it made.
/// Nothing is run that somebody else sent.
fn policy(page: &str) -> String {
    let (scripts, styles) = (inline::hashes(page, "script"), inline::hashes(page, "style"));
    format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{scripts}; \
         style-src 'self'{styles}; connect-src 'self' ws: wss: http: https:; \
         img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; \
         object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The files of a page, by their path.
#[derive(Debug, Default)]
pub(super) struct Web {
    files: BTreeMap<String, File>,
}

#[derive(Debug)]
struct File {
    bytes: Bytes,
    kind: HeaderValue,
    tag: HeaderValue,
    /// Of a page with scripts of its own; others have the one of all.
    policy: Option<HeaderValue>,
}

impl Web {
    /// Reads a folder.
    pub(super) fn read(root: &Path) -> Result<Self, RelayError> {
        let canonical = fs::canonicalize(root).map_err(|error| RelayError::web(root, &error))?;
        let mut web = Self::default();
        let mut left = MOST;
        web.add(&canonical, &canonical, "", DEPTH, &mut left)?;
        if web.files.is_empty() {
            let problem = "there is no file in it".to_owned();
            return Err(RelayError::Web { path: root.to_owned(), problem });
        }
        Ok(web)
    }

    fn add(
        &mut self,
        root: &Path,
        folder: &Path,
        prefix: &str,
        depth: usize,
        left: &mut u64,
    ) -> Result<(), RelayError> {
        let failed = |error| RelayError::web(folder, &error);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            // Names that begin with a dot are the editor's, the version control's, secrets.
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            // A link that leads out of the folder is passed over, as is one that leads nowhere.
            let Ok(path) = fs::canonicalize(entry.path()) else { continue };
            if !path.starts_with(root) {
                continue;
            }
            let inside = format!("{prefix}/{name}");
            let broken = |error| RelayError::web(&path, &error);
            let meta = fs::metadata(&path).map_err(broken)?;
            if meta.is_dir() && depth > 0 {
                self.add(root, &path, &inside, depth - 1, left)?;
            } else if meta.is_file() {
                let Some(rest) = left.checked_sub(meta.len()) else {
                    let problem = format!("more than {} MiB in all", MOST >> 20);
                    return Err(RelayError::Web { path: root.to_owned(), problem });
                };
                *left = rest;
                let bytes = fs::read(&path).map_err(broken)?;
                self.files.insert(inside, File::new(name, bytes));
            }
        }
        Ok(())
    }

    /// Answers a request for anything.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut response = match *request.method() {
            Method::GET | Method::HEAD => self.find(request),
            _ => {
                let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
                let allow = HeaderValue::from_static("GET, HEAD");
                response.headers_mut().insert(header::ALLOW, allow);
                response
            }
        };
        protect(response.headers_mut());
        if request.method() == Method::HEAD {
            *response.body_mut() = Full::default();
        }
        response
    }

    fn find<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = text::unescape(request.uri().path()).unwrap_or_default();
        let path = if path.ends_with('/') { path + "index.html" } else { path };
        let Some(file) = self.files.get(&path) else {
            return plain(StatusCode::NOT_FOUND, "there is nothing here\n");
        };
        let known = request.headers().get(header::IF_NONE_MATCH);
        let mut response = if known.is_some_and(|known| *known == file.tag) {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = Response::new(Full::from(file.bytes.clone()));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, file.kind.clone());
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(file.bytes.len()));
            response
        };
        let headers = response.headers_mut();
        if let Some(policy) = &file.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        headers.insert(header::ETAG, file.tag.clone());
        // Asked for each time, sent only when it is another one.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

impl File {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        let tag = format!("\"{}\"", text::hex(&blake3::hash(&bytes).as_bytes()[..16]));
        let kind = kind(name);
        let page = (kind == PAGE).then(|| String::from_utf8_lossy(&bytes));
        Self {
            policy: page.and_then(|page| HeaderValue::from_str(&policy(&page)).ok()),
            bytes: bytes.into(),
            kind: HeaderValue::from_static(kind),
            // Hexadecimal digits always make a header.
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

/// A short answer in words.
pub(super) fn plain(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(words));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(words.len()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn protect(headers: &mut HeaderMap) {
    // Of what is no page nothing is run, unless somebody opens it by itself.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let policy = HeaderValue::from_str(&policy(""));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            policy.unwrap_or(HeaderValue::from_static("default-src 'none'")),
        );
    }
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
}

/// The content type of a page.
const PAGE: &str = "text/html; charset=utf-8";

/// The content type by the name's ending.
fn kind(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "html" | "htm" => PAGE,
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(web: &Web, path: &str) -> StatusCode {
        let request = Request::get(path).body(()).expect("a request");
        web.answer(&request).status()
    }

    #[test]
    fn only_what_was_read_is_there() {
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("secret"), "secret").expect("written");
        let dir = outside.path().join("web");
        fs::create_dir_all(dir.join("deep/er")).expect("a folder");
        for name in ["index.html", "deep/index.html", "deep/er/a b.wasm", ".env"] {
            fs::write(dir.join(name), name).expect("written");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.path(), dir.join("out")).expect("a link");
            std::os::unix::fs::symlink(outside.path().join("secret"), dir.join("s"))
                .expect("a link");
            std::os::unix::fs::symlink(&dir, dir.join("deep/loop")).expect("a link");
            std::os::unix::fs::symlink("deep/index.html", dir.join("in")).expect("a link");
        }
        let web = Web::read(&dir).expect("read");
        for path in ["/", "/index.html", "/deep/", "/deep/er/a%20b.wasm", "/?x=/../y", "/in"] {
            assert_eq!(status(&web, path), StatusCode::OK, "{path}");
        }
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/deep/../../secret",
            "/out/secret",
            "/s",
            "/.env",
            "/deep",
            "//index.html",
            "/index.html%00",
            "/%ff",
            "/%",
        ] {
            assert_eq!(status(&web, path), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_the_page_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let empty = Web::read(dir.path()).expect_err("empty").to_string();
        assert!(empty.contains("no file") && empty.contains(&*dir.path().to_string_lossy()));
        let missing = Web::read(&dir.path().join("none")).expect_err("missing");
        assert!(missing.to_string().contains("none"), "{missing}");
        let large = fs::File::create(dir.path().join("large")).expect("a file");
        large.set_len(MOST + 1).expect("a sparse file");
        assert!(Web::read(dir.path()).is_err_and(|error| error.to_string().contains("64 MiB")));
    }

    #[test]
    fn a_page_may_run_what_came_with_it() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("a.wasm"), "x").expect("written");
        let web = Web::read(dir.path()).expect("read");
        let get = |tag: &str| {
            let request = Request::get("/a.wasm").header(header::IF_NONE_MATCH, tag);
            web.answer(&request.body(()).expect("a request"))
        };
        let first = get("\"other\"");
        assert_eq!(first.headers()[header::CONTENT_TYPE], "application/wasm");
        let policy = first.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"), "{policy}");
        let tag = first.headers()[header::ETAG].to_str().expect("text");
        assert_eq!(get(tag).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn scripts_of_the_page_itself_are_run_and_no_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let page = "<!doctype html><script>\nalert(1)\n</script><style>a{}</style>";
        fs::write(dir.path().join("index.html"), page).expect("written");
        let web = Web::read(dir.path()).expect("read");
        let response = web.answer(&Request::get("/").body(()).expect("a request"));
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        // printf '\nalert(1)\n' | openssl dgst -sha256 -binary | base64
        let script = "script-src 'self' 'wasm-unsafe-eval' 'sha256-J8+4/wmqNoqVGih0Xof49bzVEIwR8aHhR5HvZK1wlzY=';";
        assert!(policy.contains(script), "{policy}");
        assert!(
            policy.contains(
                "style-src 'self' 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk=';"
            ),
            "{policy}"
        );
        assert!(!policy.contains("unsafe-inline"));
    }
}
