//! Content for Python: hash lists, links, and the machine that fetches. The values that cross are
//! the dataclasses of `kadlet/content.py`.
//!
//! Hashing lets go of Python: another thread runs meanwhile.

use std::sync::Mutex;

use kadlet_core::config::FetchConfig;
use kadlet_core::content::{
    Bitmap, ContentId, Fetch as Machine, FetchEvent, HashList as List, HashListBuilder as Builder,
    Link, Rejection, Request, RequestFailure, RequestId, Resume, Verdict, Want,
};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::{self, address, address_from, id_of_content, instant, part, seconds};
use crate::settings::{Number, Setting};
use crate::{Any, invalid, lock};

fn make<'py>(py: Python<'py>, class: &str, fields: impl PyCallArgs<'py>) -> PyResult<Any<'py>> {
    static TYPES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let types = TYPES.get_or_try_init(py, || py.import("kadlet.content").map(Bound::unbind))?;
    types.bind(py).getattr(class)?.call1(fields)
}

// ---- hash lists -------------------------------------------------------------------------------

/// The hashes of a file's pieces of 1 MiB, which any piece can be checked against alone.
#[pyclass(frozen, eq, module = "kadlet.content")]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HashList(List);

#[pymethods]
impl HashList {
    /// Reads a list of at most so many bytes' file, and checks it against the id.
    #[staticmethod]
    fn decode(bytes: &[u8], id: &[u8], max_size: Number<u64>) -> PyResult<Self> {
        List::decode(bytes, id_of_content(id)?, max_size.0).map(Self).map_err(invalid)
    }

    /// The list as bytes.
    fn encode<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.encode())
    }

    /// The file's id: its BLAKE3 hash.
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.id().as_bytes())
    }

    /// The file's size in bytes.
    fn size(&self) -> u64 {
        self.0.size()
    }

    /// The number of pieces.
    fn pieces(&self) -> u32 {
        self.0.pieces()
    }

    /// First byte of a piece, and the one behind its last; None beyond the last piece.
    fn range(&self, index: Number<u32>) -> Option<(u64, u64)> {
        self.0.range(index.0).map(|range| (range.start, range.end))
    }

    /// Whether these bytes are that piece, whole.
    fn verify_piece(&self, py: Python<'_>, index: Number<u32>, bytes: &[u8]) -> bool {
        py.detach(|| self.0.verify_piece(index.0, bytes))
    }
}

/// Hashes a file as its bytes come, in parts of any length.
#[pyclass(frozen, module = "kadlet.content")]
pub(crate) struct HashListBuilder(Mutex<Builder>);

#[pymethods]
impl HashListBuilder {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(Builder::new()))
    }

    /// Takes the next bytes of the file.
    fn update(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        py.detach(|| lock(&self.0).map(|mut builder| builder.update(bytes)))
    }

    /// How many bytes came so far.
    fn size(&self) -> PyResult<u64> {
        Ok(lock(&self.0)?.size())
    }

    /// The list over all bytes that came.
    fn finish(&self) -> PyResult<HashList> {
        Ok(HashList(lock(&self.0)?.clone().finish()))
    }
}

// ---- links and notes --------------------------------------------------------------------------

/// Reads a magnet link.
#[pyfunction]
pub(crate) fn parse_link<'py>(py: Python<'py>, text: &str) -> PyResult<Any<'py>> {
    let link: Link = text.parse().map_err(invalid)?;
    let contacts: Vec<_> =
        link.contacts().iter().map(|it| address(py, it)).collect::<PyResult<_>>()?;
    let id = PyBytes::new(py, link.id().as_bytes());
    make(py, "Link", (id, link.name(), link.size(), PyTuple::new(py, contacts)?))
}

/// The text of a `Link`.
#[pyfunction]
pub(crate) fn format_link(link: &Any<'_>) -> PyResult<String> {
    let id: Vec<u8> = part(link, "a Link", "id")?.extract()?;
    let mut made = Link::new(id_of_content(&id)?);
    if let Some(name) = link.getattr("name")?.extract::<Option<String>>()? {
        made = made.with_name(&name);
    }
    if let Some(size) = link.getattr("size")?.extract::<Option<Number<u64>>>()? {
        made = made.with_size(size.0);
    }
    for contact in link.getattr("contacts")?.try_iter()? {
        made = made.with_contact(address_from(&contact?)?);
    }
    Ok(made.to_string())
}

/// A file name of one component that no system takes for another one.
#[pyfunction]
pub(crate) fn safe_file_name(name: &str, id: &[u8]) -> PyResult<String> {
    Ok(kadlet_core::content::safe_file_name(name, id_of_content(id)?))
}

/// What is kept beside a partial file.
#[pyfunction]
pub(crate) fn encode_resume<'py>(
    py: Python<'py>,
    resume: &Any<'_>,
) -> PyResult<Bound<'py, PyBytes>> {
    let id: Vec<u8> = part(resume, "a Resume", "id")?.extract()?;
    let size = u64::read(&resume.getattr("size")?)?;
    let limit = List::MAX_SIZE;
    if size > limit {
        return Err(invalid(format_args!("a file has at most {limit} bytes, this has {size}")));
    }
    let pieces = u32::try_from(size.div_ceil(kadlet_core::content::PIECE_LEN)).map_err(invalid)?;
    let have = bitmap(&resume.getattr("have")?, pieces)?;
    Ok(PyBytes::new(py, &Resume { id: id_of_content(&id)?, size, have }.encode()))
}

/// Reads what was kept.
#[pyfunction]
pub(crate) fn decode_resume<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Any<'py>> {
    resume(py, &Resume::decode(bytes).map_err(invalid)?)
}

fn resume<'py>(py: Python<'py>, note: &Resume) -> PyResult<Any<'py>> {
    let have = PyTuple::new(py, note.have.iter().collect::<Vec<_>>())?;
    make(py, "Resume", (PyBytes::new(py, note.id.as_bytes()), note.size, have))
}

fn bitmap(pieces: &Any<'_>, of: u32) -> PyResult<Bitmap> {
    let mut have = Bitmap::new(of);
    for piece in pieces.try_iter()? {
        let index = u32::read(&piece?)?;
        if index >= of {
            return Err(invalid(format_args!("there are {of} pieces, none is number {index}")));
        }
        have.insert(index);
    }
    Ok(have)
}

// ---- fetch ------------------------------------------------------------------------------------

/// Which piece from whom next, who lied, and what is still missing. Opens no connection.
#[pyclass(frozen, module = "kadlet.content")]
pub(crate) struct Fetch(Mutex<Machine>);

#[pymethods]
impl Fetch {
    #[new]
    #[pyo3(signature = (config, id, size=None))]
    fn new(config: &Any<'_>, id: &[u8], size: Option<Number<u64>>) -> PyResult<Self> {
        let size = size.map(|Number(size)| size);
        let machine = Machine::new(FetchConfig::read(config)?, id_of_content(id)?, size);
        Ok(Self(Mutex::new(machine.map_err(invalid)?)))
    }

    /// A fetch that has the true list and these pieces already.
    #[staticmethod]
    fn resume(config: &Any<'_>, list: &HashList, have: &Any<'_>) -> PyResult<Self> {
        let have = bitmap(have, list.0.pieces())?;
        let machine = Machine::resume(FetchConfig::read(config)?, list.0.clone(), have);
        Ok(Self(Mutex::new(machine.map_err(invalid)?)))
    }

    /// `namer` (the holder of an event `Provider`; any id for what a user knows) says that somebody
    /// has the content. False if that is no news, or too much of it.
    fn provider_found(&self, now: f64, addr: &Any<'_>, namer: &[u8]) -> PyResult<bool> {
        let (now, addr, namer) = (instant(now)?, address_from(addr)?, convert::id(namer)?);
        Ok(lock(&self.0)?.provider_found(now, addr, namer))
    }

    /// No further provider will be found: with none left, the fetch fails.
    fn no_more_providers(&self, now: f64) -> PyResult<()> {
        lock(&self.0)?.no_more_providers(instant(now)?);
        Ok(())
    }

    /// So many bytes more of an answer came.
    fn progressed(&self, now: f64, request: Number<u64>, bytes: Number<u64>) -> PyResult<()> {
        lock(&self.0)?.progressed(instant(now)?, RequestId(request.0), bytes.0);
        Ok(())
    }

    /// A hash list came, whole or cut off at its `max_len`.
    fn list_received(
        &self,
        py: Python<'_>,
        now: f64,
        request: Number<u64>,
        bytes: &[u8],
    ) -> PyResult<&'static str> {
        let now = instant(now)?;
        py.detach(|| Ok(verdict(lock(&self.0)?.list_received(now, RequestId(request.0), bytes))))
    }

    /// A piece came, whole. It may be written if it is accepted.
    fn piece_received(
        &self,
        py: Python<'_>,
        now: f64,
        request: Number<u64>,
        bytes: &[u8],
    ) -> PyResult<&'static str> {
        let now = instant(now)?;
        py.detach(|| Ok(verdict(lock(&self.0)?.piece_received(now, RequestId(request.0), bytes))))
    }

    /// A request brought nothing.
    fn request_failed(&self, now: f64, request: Number<u64>, failure: &str) -> PyResult<()> {
        let failure = match failure {
            "unreachable" => RequestFailure::Unreachable,
            "disconnected" => RequestFailure::Disconnected,
            "not_found" => RequestFailure::NotFound,
            "busy" => RequestFailure::Busy,
            "malformed" => RequestFailure::Malformed,
            "silent" => RequestFailure::Silent,
            "too_slow" => RequestFailure::TooSlow,
            other => return Err(invalid(format_args!("{other} is no failure of a request"))),
        };
        lock(&self.0)?.request_failed(instant(now)?, RequestId(request.0), failure);
        Ok(())
    }

    /// The host found that piece on its own disk and verified it.
    fn piece_on_disk(&self, now: f64, index: Number<u32>) -> PyResult<bool> {
        Ok(lock(&self.0)?.piece_on_disk(instant(now)?, index.0))
    }

    /// The deadline of `poll_timeout` has come. Early or twice does nothing.
    fn handle_timeout(&self, now: f64) -> PyResult<()> {
        lock(&self.0)?.handle_timeout(instant(now)?);
        Ok(())
    }

    /// The next request to make.
    fn poll_request<'py>(&self, py: Python<'py>) -> PyResult<Option<Any<'py>>> {
        let request = lock(&self.0)?.poll_request();
        request.map(|request| request_to(py, &request)).transpose()
    }

    /// The next request to end: its answer is not needed any more.
    fn poll_cancel(&self) -> PyResult<Option<u64>> {
        Ok(lock(&self.0)?.poll_cancel().map(|request| request.0))
    }

    /// The next event.
    fn poll_event<'py>(&self, py: Python<'py>) -> PyResult<Option<Any<'py>>> {
        let event = lock(&self.0)?.poll_event();
        event.map(|event| event_to(py, &event)).transpose()
    }

    /// When `handle_timeout` is to be called next; None: never.
    fn poll_timeout(&self) -> PyResult<Option<f64>> {
        Ok(lock(&self.0)?.poll_timeout().map(seconds))
    }

    /// What is being fetched.
    fn id<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, lock(&self.0)?.id().as_bytes()))
    }

    /// The true hash list, once it is certain.
    fn list(&self) -> PyResult<Option<HashList>> {
        Ok(lock(&self.0)?.list().cloned().map(HashList))
    }

    /// The verified pieces.
    fn have<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let have: Vec<u32> = lock(&self.0)?.have().iter().collect();
        PyTuple::new(py, have)
    }

    /// What to keep beside the partial file, once the list is certain.
    fn resume_note<'py>(&self, py: Python<'py>) -> PyResult<Option<Any<'py>>> {
        let note = lock(&self.0)?.resume_note();
        note.map(|note| resume(py, &note)).transpose()
    }

    /// Whether the fetch is done or has failed.
    fn is_over(&self) -> PyResult<bool> {
        Ok(lock(&self.0)?.is_over())
    }

    /// The providers that are asked, in the order in which they were found.
    fn providers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let providers = lock(&self.0)?.providers();
        crate::convert::tuple(py, &providers, |py, it| {
            let fields = (address(py, &it.addr)?, it.verified, it.in_flight, it.rate, it.failures);
            make(py, "ProviderStats", fields)
        })
    }

    /// The providers that were dropped, with the reasons.
    fn rejected<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rejected: Vec<_> = lock(&self.0)?.rejected().collect();
        crate::convert::tuple(py, &rejected, |py, (addr, why)| {
            let pair = [address(py, addr)?, rejection(py, why)?];
            Ok(PyTuple::new(py, pair)?.into_any())
        })
    }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Unwanted => "unwanted",
    }
}

fn request_to<'py>(py: Python<'py>, request: &Request) -> PyResult<Any<'py>> {
    let want = match &request.want {
        Want::HashList { max_len } => make(py, "WantHashList", (*max_len,))?,
        Want::Piece { index, range } => make(py, "WantPiece", (*index, range.start, range.end))?,
        other => return Err(unknown(other)),
    };
    make(py, "Request", (request.id.0, address(py, &request.provider)?, want))
}

fn event_to<'py>(py: Python<'py>, event: &FetchEvent) -> PyResult<Any<'py>> {
    match event {
        FetchEvent::ListVerified { provider, size, pieces } => {
            make(py, "ListVerified", (address(py, provider)?, *size, *pieces))
        }
        FetchEvent::PieceVerified { provider, index } => {
            make(py, "PieceVerified", (address(py, provider)?, *index))
        }
        FetchEvent::ProviderRejected { provider, reason } => {
            make(py, "ProviderRejected", (address(py, provider)?, rejection(py, reason)?))
        }
        FetchEvent::Done => make(py, "Done", ()),
        FetchEvent::Failed { providers } => {
            let providers = crate::convert::tuple(py, providers, |py, (addr, why)| {
                let pair = [address(py, addr)?, rejection(py, why)?];
                Ok(PyTuple::new(py, pair)?.into_any())
            })?;
            make(py, "Failed", (providers,))
        }
        other => Err(unknown(other)),
    }
}

fn rejection<'py>(py: Python<'py>, why: &Rejection) -> PyResult<Any<'py>> {
    let kind = match why {
        Rejection::WrongList(_) => "wrong_list",
        Rejection::WrongSize { .. } => "wrong_size",
        Rejection::TooLarge { .. } => "too_large",
        Rejection::WrongPiece { .. } => "wrong_piece",
        Rejection::NotFound => "not_found",
        Rejection::Failing(_) => "failing",
        other => return Err(unknown(other)),
    };
    let text = PyString::new(py, &why.to_string());
    make(py, "Rejection", (kind, text, why.is_lie()))
}

/// The core has something that this package does not know: they are not of one version.
fn unknown(what: &dyn core::fmt::Debug) -> PyErr {
    pyo3::exceptions::PyNotImplementedError::new_err(format!("{what:?}"))
}

/// The id of a file that lies in memory.
#[pyfunction]
pub(crate) fn content_id_of<'py>(py: Python<'py>, file: &[u8]) -> Bound<'py, PyBytes> {
    let id = py.detach(|| ContentId::of(file));
    PyBytes::new(py, id.as_bytes())
}

/// The key under which the providers of a file with this BLAKE3 hash (32 bytes) are announced.
#[pyfunction]
pub(crate) fn content_key_of<'py>(
    py: Python<'py>,
    content: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let key = id_of_content(content)?.key();
    Ok(PyBytes::new(py, key.as_bytes()))
}
