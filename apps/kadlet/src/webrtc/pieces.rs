//! The requests of docs/content.md on an ordered channel. Each message is one byte that says what it
//! is, the request's number (4 bytes, big-endian), and the rest (docs/webrtc.md).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::ops::Range;
use core::task::{Context, Poll};

use str0m::RtcError;
use str0m::channel::Channel;
use tokio::sync::mpsc;

use crate::files::channel::{Reading, Shelves};

const REQUEST: u8 = 1;
const HEAD: u8 = 2;
const DATA: u8 = 3;
const END: u8 = 4;
const CANCEL: u8 = 5;
const PROOF: u8 = 6;

/// Bytes of a file in one message: what every browser passes on at once.
const CHUNK: usize = 16 << 10;

/// Requests that one peer may have open with us.
const AT_ONCE: usize = 32;

/// Bytes that may wait in the channel: more would wait in memory for nothing.
const WAITING: usize = 256 << 10;

/// The longest path and range, and the longest password, bytes.
const LONGEST: usize = 128;

/// Short messages that may wait: who sends requests and takes no answers is cut off.
const SHORT: usize = 256;

/// Part of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// The status of docs/content.md.
    Head(u16),
    /// Bytes.
    Data(Vec<u8>),
    /// There is no more.
    End,
}

/// A message, read.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Message<'a> {
    Request(Asked<'a>),
    Answer(Frame),
    Cancel,
    /// A password that its sender was told at its address.
    Proof(&'a [u8]),
}

/// What is asked for: a path, none if it is no request that finds anything; and a range of bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) path: &'a str,
    pub(crate) range: Option<Range<u64>>,
}

impl<'a> Asked<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let nothing = Self { path: "", range: None };
        let Ok(text) = core::str::from_utf8(text) else { return nothing };
        let Some((path, range)) = text.split_once(' ') else {
            return Self { path: text, range: None };
        };
        let number = |text: &str| {
            let plain = text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u64>().ok()).flatten()
        };
        let range =
            range.split_once('-').and_then(|(first, last)| Some(number(first)?..number(last)? + 1));
        if range.is_none() { nothing } else { Self { path, range } }
    }
}

/// Reads a message; none if it is none.
fn parse(bytes: &[u8]) -> Option<(u32, Message<'_>)> {
    let (head, rest) = bytes.split_first_chunk::<5>()?;
    let [kind, number @ ..] = *head;
    let number = u32::from_be_bytes(number);
    let message = match kind {
        REQUEST if rest.len() <= LONGEST => Message::Request(Asked::parse(rest)),
        HEAD => {
            let status = u16::from_be_bytes(rest.try_into().ok()?);
            (200..=599).contains(&status).then_some(())?;
            Message::Answer(Frame::Head(status))
        }
        DATA => Message::Answer(Frame::Data(rest.to_vec())),
        END => Message::Answer(Frame::End),
        CANCEL => Message::Cancel,
        PROOF if number == 0 && rest.len() <= LONGEST => Message::Proof(rest),
        _ => return None,
    };
    Some((number, message))
}

fn message(kind: u8, number: u32, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes(), rest].concat()
}

/// What shows the peer that we were told its password.
pub(super) fn proof(password: &str) -> Vec<u8> {
    message(PROOF, 0, password.as_bytes())
}

/// A request of ours.
struct Open {
    frames: mpsc::UnboundedSender<Frame>,
    /// Bytes that are still wanted: an answer that is longer is none.
    room: u64,
    begun: bool,
}

/// A request of the peer's.
struct Answering {
    /// Its bytes are closed at the end, and at a file that cannot be read any more.
    reading: Reading,
    /// What was read and not sent.
    waiting: VecDeque<u8>,
}

/// Whether the channel had room for what waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// For all of it.
    Enough,
    /// For some of it: the peer has taken something.
    Some,
    /// For nothing.
    None,
}

impl Room {
    /// Something is left that has none.
    const fn none_left(self) -> Self {
        match self {
            Self::Some => Self::Some,
            Self::Enough | Self::None => Self::None,
        }
    }
}

/// Both sides of one channel: what we ask there, and what is asked of us.
#[derive(Default)]
pub(super) struct Pieces {
    next: u32,
    asked: BTreeMap<u32, Open>,
    answering: BTreeMap<u32, Answering>,
    /// Everything but data.
    short: VecDeque<Vec<u8>>,
    /// Requests that nobody has looked at.
    wanted: VecDeque<(u32, String, Option<Range<u64>>)>,
    /// Whether the peer has shown that it was told our password.
    pub(super) proven: bool,
}

impl Pieces {
    /// Asks the peer for `path`; at most `room` bytes come.
    pub(super) fn ask(
        &mut self,
        path: &str,
        range: Option<Range<u64>>,
        room: u64,
        frames: mpsc::UnboundedSender<Frame>,
    ) {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let text = match range {
            Some(range) => format!("{path} {}-{}", range.start, range.end.saturating_sub(1)),
            None => path.to_owned(),
        };
        self.short.push_back(message(REQUEST, number, text.as_bytes()));
        self.asked.insert(number, Open { frames, room, begun: false });
    }

    /// A message came; false if it breaks the rules. `password`: ours, which the peer has to show.
    pub(super) fn came(&mut self, bytes: &[u8], password: &str) -> bool {
        let Some((number, message)) = parse(bytes) else { return false };
        match message {
            Message::Request(asked) => {
                if self.answering.contains_key(&number) {
                    return false;
                }
                if self.answering.len() + self.wanted.len() >= AT_ONCE {
                    self.refuse(number, 429);
                } else {
                    let (path, range) = (asked.path.to_owned(), asked.range);
                    self.wanted.push_back((number, path, range));
                }
                self.short.len() <= SHORT
            }
            Message::Answer(frame) => self.answered(number, frame),
            Message::Cancel => {
                self.answering.remove(&number);
                self.wanted.retain(|(wanted, ..)| *wanted != number);
                true
            }
            Message::Proof(shown) => {
                let right = shown == password.as_bytes();
                self.proven |= right;
                right
            }
        }
    }

    fn answered(&mut self, number: u32, frame: Frame) -> bool {
        // What belongs to a request that was left is no fault: it was on its way.
        let Some(open) = self.asked.get_mut(&number) else { return true };
        let fine = match &frame {
            Frame::Head(_) => !core::mem::replace(&mut open.begun, true),
            Frame::Data(bytes) => {
                let left = open.room.checked_sub(bytes.len() as u64);
                open.room = left.unwrap_or(0);
                open.begun && left.is_some()
            }
            Frame::End => open.begun,
        };
        let last = frame == Frame::End;
        let heard = fine && open.frames.send(frame).is_ok();
        if last || !heard {
            self.asked.remove(&number);
        }
        if fine && !heard && !last {
            self.short.push_back(message(CANCEL, number, &[]));
        }
        fine
    }

    fn refuse(&mut self, number: u32, status: u16) {
        self.short.push_back(message(HEAD, number, &status.to_be_bytes()));
        self.short.push_back(message(END, number, &[]));
    }

    /// Has the requests looked at that came: their answers begin.
    pub(super) fn answer(&mut self, shelves: Option<&Arc<Shelves>>) {
        while let Some((number, path, range)) = self.wanted.pop_front() {
            let partial = range.is_some();
            let found = match shelves {
                Some(shelves) => shelves.read(&path, range),
                None => Err(404),
            };
            match found {
                Err(status) => self.refuse(number, status),
                Ok(reading) => {
                    let status: u16 = if partial { 206 } else { 200 };
                    self.short.push_back(message(HEAD, number, &status.to_be_bytes()));
                    let answering = Answering { reading, waiting: VecDeque::new() };
                    self.answering.insert(number, answering);
                }
            }
        }
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn pump(
        &mut self,
        cx: &mut Context<'_>,
        channel: &mut Channel<'_>,
    ) -> Result<Room, RtcError> {
        let mut room = Room::Enough;
        while let Some(message) = self.short.front() {
            if !channel.write(true, message)? {
                return Ok(room.none_left());
            }
            self.short.pop_front();
            room = Room::Some;
        }
        // One message of each in turn.
        let mut numbers: VecDeque<u32> = self.answering.keys().copied().collect();
        while let Some(number) = numbers.pop_front() {
            if channel.buffered_amount() >= WAITING {
                return Ok(room.none_left());
            }
            let Some(answering) = self.answering.get_mut(&number) else { continue };
            let data = match answering.next(cx) {
                Poll::Pending => continue,
                Poll::Ready(data) => data,
            };
            let last = data.is_empty();
            let kind = if last { END } else { DATA };
            if !channel.write(true, &message(kind, number, &data))? {
                for byte in data.into_iter().rev() {
                    answering.waiting.push_front(byte);
                }
                return Ok(room.none_left());
            }
            room = Room::Some;
            if last {
                self.answering.remove(&number);
            } else {
                numbers.push_back(number);
            }
        }
        Ok(Room::Enough)
    }

    /// Nothing more comes, and nothing more is sent.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }
}

impl Answering {
    /// The next bytes to send; none at the end.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        if self.waiting.is_empty() {
            match self.reading.bytes.poll_recv(cx) {
                Poll::Ready(Some(bytes)) => self.waiting = bytes.into(),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        let len = self.waiting.len().min(CHUNK);
        Poll::Ready(self.waiting.drain(..len).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(core::str::from_utf8(pair).expect("hex"), 16);
        digits.map(|pair| byte(pair).expect("hex")).collect()
    }

    /// What the page's side is tested with as well.
    #[test]
    fn messages_are_read_as_the_vectors_say() {
        let all: Value =
            serde_json::from_str(include_str!("../../../../docs/webrtc.json")).expect("JSON");
        for vector in all["messages"].as_array().expect("a list") {
            let bytes = unhex(vector["message"].as_str().expect("text"));
            let read = parse(&bytes);
            assert_eq!(read.is_some(), vector["valid"] == true, "{vector}");
            let Some((number, read)) = read else { continue };
            assert_eq!(json!(number), vector["number"], "{vector}");
            match read {
                Message::Request(Asked { path, range }) => {
                    assert_eq!(json!(path), vector["path"], "{vector}");
                    let range = range.map(|range| json!([range.start, range.end - 1]));
                    assert_eq!(range.as_ref(), vector.get("range"), "{vector}");
                }
                Message::Answer(Frame::Head(status)) => assert_eq!(json!(status), vector["status"]),
                Message::Answer(Frame::Data(data)) => {
                    assert_eq!(data, unhex(vector["data"].as_str().expect("text")));
                }
                Message::Answer(Frame::End) => assert_eq!(vector["kind"], END),
                Message::Cancel => assert_eq!(vector["kind"], CANCEL),
                Message::Proof(text) => {
                    let text = core::str::from_utf8(text).expect("text");
                    assert_eq!((&vector["kind"], &vector["proof"]), (&json!(PROOF), &json!(text)));
                }
            }
        }
    }

    #[test]
    fn an_answer_that_breaks_the_rules_is_noticed() {
        let head = message(HEAD, 0, &206_u16.to_be_bytes());
        let data = |len| message(DATA, 0, &vec![7; len]);
        for (said, fine) in [
            (vec![head.clone(), data(4), message(END, 0, &[])], true),
            (vec![data(4)], false),
            (vec![head.clone(), head.clone()], false),
            (vec![head.clone(), data(5)], false),
            (vec![head, data(3), data(2)], false),
            (vec![message(END, 0, &[])], false),
            // About a request that nobody made.
            (vec![message(DATA, 9, &[1; 99])], true),
        ] {
            let mut pieces = Pieces::default();
            let (frames, _heard) = mpsc::unbounded_channel();
            pieces.ask("/blake3/", Some(0..4), 4, frames);
            let all = said.iter().all(|message| pieces.came(message, ""));
            assert_eq!(all, fine, "{said:?}");
        }
    }

    #[test]
    fn a_peer_has_few_requests_open_and_takes_its_answers() {
        let mut pieces = Pieces::default();
        let request = |number| message(REQUEST, number, b"/blake3/");
        assert!((0..AT_ONCE as u32).all(|number| pieces.came(&request(number), "")));
        assert!(pieces.short.is_empty());
        assert!(pieces.came(&request(99), ""));
        assert_eq!(pieces.short[0], message(HEAD, 99, &429_u16.to_be_bytes()));
        let refused = (100..10_000).take_while(|number| pieces.came(&request(*number), "")).count();
        assert!(refused < SHORT, "{refused}");
    }
}
