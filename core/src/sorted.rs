//! An ordered map and an ordered set: what everything keyed by strangers is kept in.
//!
//! The standard library's are B-trees, whose balancing is compiled once for every type of key and
//! value: a fifth of what a page had to load. Here the entries lie sorted in chunks of about 2 kB,
//! and the chunks but the first in a vector: an operation costs two binary searches, the moving of
//! at most one chunk's entries, and once in half a chunk's insertions the moving of the vector of
//! chunks (24 bytes for each). Most maps of most nodes are one chunk: the first stands in the map
//! itself, a step less through memory that nobody looked at of late. There are no hashes to aim at,
//! and the work does not depend on what strangers choose, only on how much the caller's caps let in.
//!
//! Two neighbours always have more than half a chunk of entries between them, and a chunk grows by
//! fourths (or four entries). A map that was emptied keeps at most 64 bytes.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Bound, RangeBounds};

/// Keys with values, in the keys' order.
#[derive(Clone)]
pub(crate) struct Map<K, V> {
    /// The first chunk; empty only if there is none.
    first: Vec<(K, V)>,
    /// The others. None of them is empty.
    rest: Vec<Vec<(K, V)>>,
    len: usize,
}

/// Room that an emptied map keeps, in bytes: what comes and goes one by one needs it again at once.
const KEPT: usize = 64;

/// Where an entry lies or would lie. After all there is stands a chunk that is not there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    chunk: usize,
    index: usize,
}

impl<K, V> Map<K, V> {
    /// How many entries a chunk has at most: few enough to be moved in some 100 ns.
    const MOST: usize = {
        let size = size_of::<(K, V)>();
        let many = 2_048 / if size == 0 { 1 } else { size };
        if many < 16 {
            16
        } else if many > 128 {
            128
        } else {
            many
        }
    };

    pub(crate) const fn new() -> Self {
        Self { first: Vec::new(), rest: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// How many chunks there are.
    const fn chunks(&self) -> usize {
        if self.first.is_empty() { 0 } else { 1 + self.rest.len() }
    }

    fn chunk(&self, at: usize) -> Option<&[(K, V)]> {
        match at.checked_sub(1) {
            None => Some(&self.first),
            Some(at) => self.rest.get(at).map(Vec::as_slice),
        }
    }

    fn chunk_mut(&mut self, at: usize) -> &mut Vec<(K, V)> {
        match at.checked_sub(1) {
            None => &mut self.first,
            Some(at) => &mut self.rest[at],
        }
    }

    /// Takes a whole chunk out.
    fn take_chunk(&mut self, at: usize) -> Vec<(K, V)> {
        match at.checked_sub(1) {
            Some(at) => self.rest.remove(at),
            None if self.rest.is_empty() => core::mem::take(&mut self.first),
            None => core::mem::replace(&mut self.first, self.rest.remove(0)),
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        let end = Place { chunk: self.chunks(), index: 0 };
        Iter { map: self, next: Place { chunk: 0, index: 0 }, end }
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let chunks = core::iter::once(&mut self.first).chain(&mut self.rest);
        chunks.flatten().map(|(key, value)| (&*key, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Keeps what `keep` says yes to, asked in order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let before = core::mem::take(self);
        for mut chunk in core::iter::once(before.first).chain(before.rest) {
            chunk.retain_mut(|(key, value)| keep(key, value));
            self.len += chunk.len();
            let last = self.rest.last_mut().unwrap_or(&mut self.first);
            if last.len() + chunk.len() <= Self::MOST / 2 && !last.is_empty() {
                last.reserve_exact(chunk.len());
                last.append(&mut chunk);
            } else if !chunk.is_empty() {
                chunk.shrink_to_fit();
                if self.first.is_empty() {
                    self.first = chunk;
                } else {
                    self.rest.push(chunk);
                }
            }
        }
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        (self.len > 0).then(|| self.take(Place { chunk: 0, index: 0 }))
    }

    fn at(&mut self, place: Place) -> &mut V {
        &mut self.chunk_mut(place.chunk)[place.index].1
    }

    /// Puts an entry where it belongs, and says where that has become.
    #[inline(never)]
    fn put(&mut self, place: Place, entry: (K, V)) -> Place {
        let Place { mut chunk, mut index } = place;
        self.len += 1;
        let chunks = self.chunks();
        let entries = self.chunk_mut(chunk);
        if entries.len() == Self::MOST {
            // What comes in order fills its chunks.
            let ascends = index == Self::MOST && chunk + 1 == chunks;
            let half = if ascends { Self::MOST } else { Self::MOST / 2 };
            let upper = entries.split_off(half);
            entries.shrink_to_fit();
            self.rest.insert(chunk, upper);
            if index > half || ascends {
                chunk += 1;
                index -= half;
            }
        }
        let entries = self.chunk_mut(chunk);
        if entries.len() == entries.capacity() {
            entries.reserve_exact((entries.len() / 4).max(4));
        }
        entries.insert(index, entry);
        Place { chunk, index }
    }

    #[inline(never)]
    fn take(&mut self, Place { chunk, index }: Place) -> (K, V) {
        self.len -= 1;
        let entries = self.chunk_mut(chunk);
        let entry = entries.remove(index);
        let left = entries.len();
        let room = entries.capacity() * size_of::<(K, V)>();
        let fits = |other: usize| {
            let other = self.chunk(other);
            other.is_some_and(|other| left + other.len() <= Self::MOST / 2)
        };
        if left == 0 {
            if self.len > 0 || room > KEPT {
                self.take_chunk(chunk);
            }
        } else if fits(chunk + 1) {
            self.join(chunk);
        } else if chunk > 0 && fits(chunk - 1) {
            self.join(chunk - 1);
        }
        entry
    }

    /// Makes a chunk and the one behind it one.
    fn join(&mut self, chunk: usize) {
        let mut upper = self.take_chunk(chunk + 1);
        let entries = self.chunk_mut(chunk);
        entries.reserve_exact(upper.len());
        entries.append(&mut upper);
    }
}

impl<K: Ord, V> Map<K, V> {
    fn find(&self, key: &K) -> Result<Place, Place> {
        let chunk = self.rest.partition_point(|chunk| chunk[0].0 <= *key);
        self.chunk(chunk)
            .unwrap_or_default()
            .binary_search_by(|(known, _)| known.cmp(key))
            .map(|index| Place { chunk, index })
            .map_err(|index| Place { chunk, index })
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key).ok()?;
        self.chunk(place.chunk)?.get(place.index).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).ok().map(|place| self.at(place))
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// The value that was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => Some(core::mem::replace(self.at(place), value)),
            Err(place) => {
                self.put(place, (key, value));
                None
            }
        }
    }

    /// The value that is there, or this one.
    pub(crate) fn or_insert(&mut self, key: K, value: V) -> &mut V {
        let place = match self.find(&key) {
            Ok(place) => place,
            Err(place) => self.put(place, (key, value)),
        };
        self.at(place)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|place| self.take(place).1)
    }

    /// The entries whose keys lie in the range, in order.
    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> Iter<'_, K, V> {
        let Iter { map, next, end } = self.iter();
        // How an entry itself is counted: before the place or behind it.
        let place = |key: &K, behind: bool| match self.find(key) {
            Ok(place) => Place { index: place.index + usize::from(behind), ..place },
            Err(place) => place,
        };
        let next = match range.start_bound() {
            Bound::Included(key) => place(key, false),
            Bound::Excluded(key) => place(key, true),
            Bound::Unbounded => next,
        };
        let end = match range.end_bound() {
            Bound::Included(key) => place(key, true),
            Bound::Excluded(key) => place(key, false),
            Bound::Unbounded => end,
        };
        Iter { map, next, end }
    }
}

/// What [`Map::iter`] and [`Map::range`] give.
pub(crate) struct Iter<'a, K, V> {
    map: &'a Map<K, V>,
    next: Place,
    end: Place,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.end {
            if let Some((key, value)) = self.map.chunk(self.next.chunk)?.get(self.next.index) {
                self.next.index += 1;
                return Some((key, value));
            }
            self.next = Place { chunk: self.next.chunk + 1, index: 0 };
        }
        None
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while self.next < self.end {
            if let Some(index) = self.end.index.checked_sub(1) {
                self.end.index = index;
                let (key, value) = self.map.chunk(self.end.chunk)?.get(index)?;
                return Some((key, value));
            }
            let chunk = self.end.chunk.checked_sub(1)?;
            self.end = Place { chunk, index: self.map.chunk(chunk)?.len() };
        }
        None
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Keys in their order.
#[derive(Clone)]
pub(crate) struct Set<K>(Map<K, ()>);

impl<K> Set<K> {
    pub(crate) const fn new() -> Self {
        Self(Map::new())
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }

    pub(crate) fn first(&self) -> Option<&K> {
        self.iter().next()
    }

    pub(crate) fn last(&self) -> Option<&K> {
        self.iter().next_back()
    }

    pub(crate) fn pop_first(&mut self) -> Option<K> {
        self.0.pop_first().map(|(key, ())| key)
    }
}

impl<K: Ord> Set<K> {
    /// Whether it was not there.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, key: &K) -> bool {
        self.0.remove(key).is_some()
    }

    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = &K> {
        self.0.range(range).map(|(key, ())| key)
    }
}

impl<K: Ord> Extend<K> for Set<K> {
    fn extend<T: IntoIterator<Item = K>>(&mut self, keys: T) {
        for key in keys {
            self.insert(key);
        }
    }
}

impl<K: Ord> FromIterator<K> for Set<K> {
    fn from_iter<T: IntoIterator<Item = K>>(keys: T) -> Self {
        let mut set = Self::new();
        set.extend(keys);
        set
    }
}

impl<K> Default for Set<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug> fmt::Debug for Set<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
