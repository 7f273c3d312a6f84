//! TLS: a certificate and its key from files, errors that say what is wrong with which; and from the
//! same files once more when they change, since certificates of our days are renewed every few weeks.

use alloc::sync::Arc;
use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::RelayError;

/// A certificate and its key.
pub(super) type Files = (PathBuf, PathBuf);

/// When both files were last written, and how long they are; none of one that is not there.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// The acceptor with what the files hold now, and the work that replaces it when they hold something
/// else, which is looked for `every` so often. What cannot be used replaces nothing.
pub(super) fn watched(
    files: Files,
    every: Duration,
) -> Result<(watch::Receiver<TlsAcceptor>, impl Future<Output = ()> + Send), RelayError> {
    // First: what is written while they are read is noticed.
    let seen = stamps(&files);
    let (acceptors, current) = watch::channel(acceptor(&files.0, &files.1)?);
    Ok((current, renew(files, every, seen, acceptors)))
}

async fn renew(
    files: Files,
    every: Duration,
    mut seen: Stamps,
    acceptors: watch::Sender<TlsAcceptor>,
) {
    let files = Arc::new(files);
    let mut clock = tokio::time::interval(every);
    loop {
        clock.tick().await;
        let files = Arc::clone(&files);
        let look = move || {
            let now = stamps(&files);
            (now != seen).then(|| (now, acceptor(&files.0, &files.1)))
        };
        let Ok(Some((now, read))) = tokio::task::spawn_blocking(look).await else { continue };
        seen = now;
        match read {
            Ok(acceptor) => {
                acceptors.send_replace(acceptor);
                tracing::info!("the certificate has changed");
            }
            // One of the two may not have been written yet: that is the next change.
            Err(error) => tracing::warn!(%error, "the certificate of before is kept"),
        }
    }
}

fn stamps((certificate, key): &Files) -> Stamps {
    [certificate, key].map(|path| {
        let known = fs::metadata(path).ok()?;
        Some((known.modified().ok()?, known.len()))
    })
}

/// Reads both files.
fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, RelayError> {
    let problem = |path: &Path, problem: &dyn core::fmt::Display| RelayError::Tls {
        path: path.to_owned(),
        problem: problem.to_string(),
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| problem(certificate, &describe(&error)))?;
    if chain.is_empty() {
        return Err(problem(certificate, &"there is no certificate in it (PEM is expected)"));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| problem(key, &describe(&error)))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(certificate, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| problem(key, &format_args!("not usable with the certificate: {error}")))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn describe(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is no key in it (PEM is expected)".to_owned(),
        _ => format!("not PEM: {error}"),
    }
}
