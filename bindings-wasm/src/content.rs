//! Content: hash lists, links, and the machine that fetches.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::SocketAddr;

use js_sys::{Array, Uint8Array};
use kadlet_core::config::FetchConfig;
use kadlet_core::content::{
    Bitmap, ContentId, Fetch as Machine, FetchEvent, HashList as List, HashListBuilder as Builder,
    Link, PIECE_LEN, Rejection, Request, RequestFailure, RequestId, Resume as Note, Verdict, Want,
};
use wasm_bindgen::prelude::*;

use crate::convert::{
    address, address_from, array, bytes, bytes_to, field, instant, invalid, list, millis, object,
    tagged, text, whole,
};
use crate::{Result, convert, settings};

fn id_from(bytes: &[u8]) -> Result<ContentId> {
    array("a content", bytes).map(ContentId::new)
}

/// A whole number that JavaScript has exactly.
fn exact(what: &str, number: f64) -> Result<u64> {
    whole(number).ok_or_else(|| invalid([what, " has to be a whole number from 0 on"].concat()))
}

fn some(of: &JsValue, name: &str) -> Result<Option<JsValue>> {
    let value = field(of, name)?;
    Ok((!value.is_undefined()).then_some(value))
}

// ---- hash lists -------------------------------------------------------------------------------

/// The hashes of a file's pieces of 1 MiB, which any piece can be checked against alone.
#[wasm_bindgen]
pub struct HashList(List);

#[wasm_bindgen]
impl HashList {
    /// Reads a list of at most so many bytes' file, and checks it against the id.
    pub fn decode(bytes: &[u8], id: &[u8], max_size: f64) -> Result<Self> {
        let max_size = exact("a size", max_size)?;
        List::decode(bytes, id_from(id)?, max_size).map(Self).map_err(invalid)
    }

    /// The list as bytes.
    pub fn encode(&self) -> Uint8Array {
        Uint8Array::from(self.0.encode().as_slice())
    }

    /// The file's id: its BLAKE3 hash, 32 bytes.
    pub fn id(&self) -> Uint8Array {
        Uint8Array::from(self.0.id().as_bytes().as_slice())
    }

    /// The file's size in bytes.
    pub fn size(&self) -> f64 {
        self.0.size() as f64
    }

    /// The number of pieces.
    pub fn pieces(&self) -> u32 {
        self.0.pieces()
    }

    /// First byte of a piece, and the one behind its last; undefined beyond the last piece.
    #[wasm_bindgen(unchecked_return_type = "[start: number, end: number] | undefined")]
    pub fn range(&self, index: u32) -> JsValue {
        let range = self.0.range(index);
        range.map_or(JsValue::UNDEFINED, |range| {
            Array::of2(&(range.start as f64).into(), &(range.end as f64).into()).into()
        })
    }

    /// Whether these bytes are that piece, whole.
    #[wasm_bindgen(js_name = verifyPiece)]
    pub fn verify_piece(&self, index: u32, bytes: &[u8]) -> bool {
        self.0.verify_piece(index, bytes)
    }
}

/// Hashes a file as its bytes come, in parts of any length.
#[wasm_bindgen]
pub struct HashListBuilder(Builder);

#[wasm_bindgen]
impl HashListBuilder {
    /// Of no bytes yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self(Builder::new())
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// How many bytes came so far.
    pub fn size(&self) -> f64 {
        self.0.size() as f64
    }

    /// The list over all bytes that came.
    pub fn finish(&self) -> HashList {
        HashList(self.0.clone().finish())
    }
}

// ---- links and notes --------------------------------------------------------------------------

/// Reads a magnet link.
#[wasm_bindgen(js_name = parseLink, unchecked_return_type = "Link")]
pub fn parse_link(text: &str) -> Result<JsValue> {
    let link: Link = text.parse().map_err(invalid)?;
    Ok(object([
        ("id", bytes_to(link.id().as_bytes())),
        ("name", link.name().into()),
        ("size", link.size().map(|size| size as f64).into()),
        ("contacts", list(link.contacts().iter().copied(), address).into()),
    ]))
}

/// A link as a magnet link.
#[wasm_bindgen(js_name = formatLink)]
pub fn format_link(
    #[wasm_bindgen(unchecked_param_type = "Link")] link: &JsValue,
) -> Result<String> {
    let mut made = Link::new(id_from(&bytes(link, "id")?)?);
    if some(link, "name")?.is_some() {
        made = made.with_name(&text(link, "name")?);
    }
    if let Some(size) = some(link, "size")? {
        made = made.with_size(exact("a size", size.as_f64().unwrap_or(-1.0))?);
    }
    for contact in some(link, "contacts")?.map(|it| Array::from(&it)).unwrap_or_default() {
        made = made.with_contact(address_from(&contact.as_string().unwrap_or_default())?);
    }
    Ok(made.to_string())
}

/// A file name of one component that no system takes for another one.
#[wasm_bindgen(js_name = safeFileName)]
pub fn safe_file_name(name: &str, id: &[u8]) -> Result<String> {
    Ok(kadlet_core::content::safe_file_name(name, id_from(id)?))
}

/// The id of a file that lies in memory.
#[wasm_bindgen(js_name = contentIdOf)]
pub fn content_id_of(file: &[u8]) -> Uint8Array {
    Uint8Array::from(ContentId::of(file).as_bytes().as_slice())
}

/// The key under which the providers of a file with this BLAKE3 hash (32 bytes) are announced.
#[wasm_bindgen(js_name = contentKeyOf)]
pub fn content_key_of(content: &[u8]) -> Result<String> {
    Ok(id_from(content)?.key().to_string())
}

fn bitmap(pieces: &[u32], of: u32) -> Result<Bitmap> {
    let mut have = Bitmap::new(of);
    for index in pieces {
        if *index >= of {
            return Err(invalid("there are not so many pieces"));
        }
        have.insert(*index);
    }
    Ok(have)
}

fn note_to(note: &Note) -> JsValue {
    let have: Vec<u32> = note.have.iter().collect();
    object([
        ("id", bytes_to(note.id.as_bytes())),
        ("size", (note.size as f64).into()),
        ("have", list(have, JsValue::from).into()),
    ])
}

/// What is kept beside a partial file, as bytes.
#[wasm_bindgen(js_name = encodeResume)]
pub fn encode_resume(
    #[wasm_bindgen(unchecked_param_type = "Resume")] resume: &JsValue,
) -> Result<Uint8Array> {
    let size = exact("a size", field(resume, "size")?.as_f64().unwrap_or(-1.0))?;
    if size > List::MAX_SIZE {
        return Err(invalid("no file is so large"));
    }
    let pieces = u32::try_from(size.div_ceil(PIECE_LEN)).map_err(invalid)?;
    let have: Vec<u32> = Array::from(&field(resume, "have")?)
        .iter()
        .map(|piece| exact("a piece", piece.as_f64().unwrap_or(-1.0)))
        .map(|piece| piece.and_then(|piece| u32::try_from(piece).map_err(invalid)))
        .collect::<Result<_>>()?;
    let note = Note { id: id_from(&bytes(resume, "id")?)?, size, have: bitmap(&have, pieces)? };
    Ok(Uint8Array::from(note.encode().as_slice()))
}

/// Reads what was kept.
#[wasm_bindgen(js_name = decodeResume, unchecked_return_type = "Resume")]
pub fn decode_resume(bytes: &[u8]) -> Result<JsValue> {
    Note::decode(bytes).map(|note| note_to(&note)).map_err(invalid)
}

// ---- fetch ------------------------------------------------------------------------------------

/// Which piece from whom next, who lied, and what is still missing. Opens no connection.
#[wasm_bindgen]
pub struct Fetch(Machine);

#[wasm_bindgen]
impl Fetch {
    /// A fetch of this content (32 bytes); a provider that says another size is dropped.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Partly<FetchConfig> | undefined")] config: &JsValue,
        id: &[u8],
        size: Option<f64>,
    ) -> Result<Self> {
        let size = size.map(|size| exact("a size", size)).transpose()?;
        let machine = Machine::new(fetch_config(config)?, id_from(id)?, size);
        machine.map(Self).map_err(invalid)
    }

    /// A fetch that has the true list and these pieces already.
    pub fn resume(
        #[wasm_bindgen(unchecked_param_type = "Partly<FetchConfig> | undefined")] config: &JsValue,
        list: &HashList,
        have: Vec<u32>,
    ) -> Result<Self> {
        let have = bitmap(&have, list.0.pieces())?;
        let machine = Machine::resume(fetch_config(config)?, list.0.clone(), have);
        machine.map(Self).map_err(invalid)
    }

    /// `namer` (the holder of an event `Provider`; any id for what a user knows) says that somebody
    /// has the content. False if that is no news, or too much of it.
    #[wasm_bindgen(js_name = providerFound)]
    pub fn provider_found(&mut self, now: f64, addr: &str, namer: &str) -> Result<bool> {
        Ok(self.0.provider_found(instant(now)?, address_from(addr)?, convert::id(namer)?))
    }

    /// No further provider will be found: with none left, the fetch fails.
    #[wasm_bindgen(js_name = noMoreProviders)]
    pub fn no_more_providers(&mut self, now: f64) -> Result<()> {
        self.0.no_more_providers(instant(now)?);
        Ok(())
    }

    /// So many bytes more of an answer came.
    pub fn progressed(&mut self, now: f64, request: f64, bytes: f64) -> Result<()> {
        self.0.progressed(instant(now)?, RequestId(request as u64), bytes as u64);
        Ok(())
    }

    /// A hash list came, whole or cut off at its `maxLen`.
    #[wasm_bindgen(js_name = listReceived, unchecked_return_type = "Verdict")]
    pub fn list_received(&mut self, now: f64, request: f64, bytes: &[u8]) -> Result<String> {
        Ok(verdict(self.0.list_received(instant(now)?, RequestId(request as u64), bytes)))
    }

    /// A piece came, whole. It may be used if it is accepted.
    #[wasm_bindgen(js_name = pieceReceived, unchecked_return_type = "Verdict")]
    pub fn piece_received(&mut self, now: f64, request: f64, bytes: &[u8]) -> Result<String> {
        Ok(verdict(self.0.piece_received(instant(now)?, RequestId(request as u64), bytes)))
    }

    /// A request brought nothing.
    #[wasm_bindgen(js_name = requestFailed)]
    pub fn request_failed(
        &mut self,
        now: f64,
        request: f64,
        #[wasm_bindgen(unchecked_param_type = "RequestFailure")] failure: &str,
    ) -> Result<()> {
        let failure = match failure {
            "unreachable" => RequestFailure::Unreachable,
            "disconnected" => RequestFailure::Disconnected,
            "not_found" => RequestFailure::NotFound,
            "busy" => RequestFailure::Busy,
            "malformed" => RequestFailure::Malformed,
            "silent" => RequestFailure::Silent,
            "too_slow" => RequestFailure::TooSlow,
            _ => return Err(invalid("that is no failure of a request")),
        };
        self.0.request_failed(instant(now)?, RequestId(request as u64), failure);
        Ok(())
    }

    /// The host found that piece where it keeps them, and verified it.
    #[wasm_bindgen(js_name = pieceOnDisk)]
    pub fn piece_on_disk(&mut self, now: f64, index: u32) -> Result<bool> {
        Ok(self.0.piece_on_disk(instant(now)?, index))
    }

    /// The deadline of `pollTimeout` has come. Early or twice does nothing.
    #[wasm_bindgen(js_name = handleTimeout)]
    pub fn handle_timeout(&mut self, now: f64) -> Result<()> {
        self.0.handle_timeout(instant(now)?);
        Ok(())
    }

    /// The next request to make.
    #[wasm_bindgen(js_name = pollRequest, unchecked_return_type = "Request | undefined")]
    pub fn poll_request(&mut self) -> JsValue {
        self.0.poll_request().map_or(JsValue::UNDEFINED, |request| request_to(&request))
    }

    /// The next request to end: its answer is not needed any more.
    #[wasm_bindgen(js_name = pollCancel)]
    pub fn poll_cancel(&mut self) -> Option<f64> {
        self.0.poll_cancel().map(|request| request.0 as f64)
    }

    /// The next event.
    #[wasm_bindgen(js_name = pollEvent, unchecked_return_type = "FetchEvent | undefined")]
    pub fn poll_event(&mut self) -> JsValue {
        self.0.poll_event().map_or(JsValue::UNDEFINED, |event| event_to(&event))
    }

    /// When `handleTimeout` is to be called next; undefined: never.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&self) -> Option<f64> {
        self.0.poll_timeout().map(millis)
    }

    /// What is being fetched.
    pub fn id(&self) -> Uint8Array {
        Uint8Array::from(self.0.id().as_bytes().as_slice())
    }

    /// The true hash list, once it is certain.
    pub fn list(&self) -> Option<HashList> {
        self.0.list().cloned().map(HashList)
    }

    /// The verified pieces.
    pub fn have(&self) -> Vec<u32> {
        self.0.have().iter().collect()
    }

    /// What to keep beside the partial file, once the list is certain.
    #[wasm_bindgen(js_name = resumeNote, unchecked_return_type = "Resume | undefined")]
    pub fn resume_note(&self) -> JsValue {
        self.0.resume_note().map_or(JsValue::UNDEFINED, |note| note_to(&note))
    }

    /// Whether the fetch is done or has failed.
    #[wasm_bindgen(js_name = isOver)]
    pub fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// The providers that are asked, in the order in which they were found.
    #[wasm_bindgen(unchecked_return_type = "ProviderStats[]")]
    pub fn providers(&self) -> Array {
        list(self.0.providers(), |it| {
            object([
                ("addr", address(it.addr)),
                ("verified", it.verified.into()),
                ("inFlight", it.in_flight.into()),
                ("rate", it.rate.map(|rate| rate as f64).into()),
                ("failures", it.failures.into()),
            ])
        })
    }

    /// The providers that were dropped, with the reasons.
    #[wasm_bindgen(unchecked_return_type = "Dropout[]")]
    pub fn rejected(&self) -> Array {
        list(self.0.rejected(), |(provider, why)| dropout(provider, &why))
    }
}

fn fetch_config(value: &JsValue) -> Result<FetchConfig> {
    let mut config = FetchConfig::default();
    settings::fill(&mut config, value)?;
    Ok(config)
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Unwanted => "unwanted",
    }
    .into()
}

fn request_to(request: &Request) -> JsValue {
    let want = match &request.want {
        Want::HashList { max_len } => tagged("hash_list", [("maxLen", (*max_len as f64).into())]),
        Want::Piece { index, range } => tagged(
            "piece",
            [
                ("index", (*index).into()),
                ("start", (range.start as f64).into()),
                ("end", (range.end as f64).into()),
            ],
        ),
        _ => JsValue::UNDEFINED,
    };
    let provider = address(request.provider);
    object([("id", (request.id.0 as f64).into()), ("provider", provider), ("want", want)])
}

fn event_to(event: &FetchEvent) -> JsValue {
    match event {
        FetchEvent::ListVerified { provider, size, pieces } => {
            let (size, pieces) = ((*size as f64).into(), (*pieces).into());
            let provider = address(*provider);
            tagged("list_verified", [("provider", provider), ("size", size), ("pieces", pieces)])
        }
        FetchEvent::PieceVerified { provider, index } => {
            let provider = address(*provider);
            tagged("piece_verified", [("provider", provider), ("index", (*index).into())])
        }
        FetchEvent::ProviderRejected { provider, reason } => {
            let provider = address(*provider);
            tagged("provider_rejected", [("provider", provider), ("reason", rejection(reason))])
        }
        FetchEvent::Done => tagged("done", []),
        FetchEvent::Failed { providers } => {
            let providers = list(providers, |(provider, why)| dropout(*provider, why));
            tagged("failed", [("providers", providers.into())])
        }
        _ => tagged("other", []),
    }
}

fn dropout(provider: SocketAddr, why: &Rejection) -> JsValue {
    object([("provider", address(provider)), ("reason", rejection(why))])
}

fn rejection(why: &Rejection) -> JsValue {
    let kind = match why {
        Rejection::WrongList(_) => "wrong_list",
        Rejection::WrongSize { .. } => "wrong_size",
        Rejection::TooLarge { .. } => "too_large",
        Rejection::WrongPiece { .. } => "wrong_piece",
        Rejection::NotFound => "not_found",
        _ => "failing",
    };
    let text = why.to_string().into();
    object([("kind", kind.into()), ("text", text), ("isLie", why.is_lie().into())])
}
