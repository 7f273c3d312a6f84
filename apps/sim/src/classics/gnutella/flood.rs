//! What is under way of one GUID: which servents have seen it, and from whom.
//!
//! A servent remembers GUIDs for minutes. Here a flood is forgotten as soon as nothing of it is
//! under way any more, which no servent could notice.

use crate::classics::Host;

/// Why something is flooded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Ping,
    /// The search with this number.
    Query(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Flood {
    pub(super) origin: Host,
    pub(super) purpose: Purpose,
    /// For each place from which other it came, plus one; 0 if it did not.
    came: Vec<u32>,
    /// The places that are not 0.
    touched: Vec<u32>,
    /// Messages under way.
    pending: u32,
}

impl Flood {
    /// From which place it came.
    pub(super) fn came_from(&self, place: u32) -> Option<u32> {
        self.came.get(place as usize).copied().and_then(|from| from.checked_sub(1))
    }

    /// It came to a place. False if it had been there.
    pub(super) fn visit(&mut self, place: u32, from: u32) -> bool {
        match self.came.get_mut(place as usize) {
            Some(came) if *came == 0 => {
                *came = from + 1;
                self.touched.push(place);
                true
            }
            _ => false,
        }
    }
}

/// All floods; the room of those that are over is used again.
#[derive(Clone, Debug)]
pub(super) struct Floods {
    floods: Vec<Flood>,
    free: Vec<u32>,
    places: usize,
}

impl Floods {
    pub(super) const fn new(places: usize) -> Self {
        Self { floods: Vec::new(), free: Vec::new(), places }
    }

    pub(super) fn start(&mut self, origin: Host, purpose: Purpose) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            let (came, touched) = (vec![0; self.places], Vec::new());
            self.floods.push(Flood { origin, purpose, came, touched, pending: 0 });
            // Some thousands at once at most.
            self.floods.len() as u32 - 1
        });
        let flood = self.flood(number);
        (flood.origin, flood.purpose) = (origin, purpose);
        flood.visit(origin.place, origin.place);
        number
    }

    pub(super) fn flood(&mut self, number: u32) -> &mut Flood {
        // Numbers come from `start` and are in use while something is pending.
        &mut self.floods[number as usize]
    }

    /// One message more is under way.
    pub(super) fn sent(&mut self, number: u32) {
        self.flood(number).pending += 1;
    }

    /// A message has been dealt with, all that followed from it sent.
    pub(super) fn settled(&mut self, number: u32) {
        let flood = self.flood(number);
        flood.pending -= 1;
        if flood.pending == 0 {
            self.end(number);
        }
    }

    /// Ends a flood of which nothing was sent.
    pub(super) fn end_if_idle(&mut self, number: u32) {
        if self.flood(number).pending == 0 {
            self.end(number);
        }
    }

    fn end(&mut self, number: u32) {
        let flood = self.flood(number);
        for place in flood.touched.drain(..) {
            flood.came[place as usize] = 0;
        }
        self.free.push(number);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.free.len() == self.floods.len()
    }

    /// The machine at a place is gone, and what it remembered with it.
    pub(super) fn forget(&mut self, place: u32) {
        for flood in &mut self.floods {
            if let Some(came) = flood.came.get_mut(place as usize) {
                *came = 0;
            }
        }
    }
}
