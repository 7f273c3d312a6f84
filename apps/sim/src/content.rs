//! What is shared and what is asked for: one workload for every system that is compared.
//!
//! * Files have names of three to five words. Words follow Zipf's law with Mandelbrot's offset: the
//!   commonest words of a language are no search words.
//! * A file of popularity rank r is held by a number of nodes proportional to r^-a, at least one.
//!   Queries follow the same law: whoever fetches a file shares it, so that copies follow requests
//!   (proportional replication: Cohen and Shenker 2002). a = 0.8 lies within the 0.63 to 1.24 that
//!   Sripanidkulchai (2001) measured for queries in Gnutella.
//! * A quarter of the nodes shares nothing (Saroiu, Gummadi and Gribble 2002).
//! * A node that leaves is replaced by another machine that brings the same files: how rare a file
//!   is does not change, but who has it does.
//!
//! Everything follows from the seed.

mod name;
mod zipf;

use kadlet_core::content::ContentId;
use kadlet_core::{Id, Rng};

use crate::distribution::mix;
pub use zipf::Zipf;

/// How much is shared, and how unevenly.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ContentPlan {
    /// Places for nodes. The catalogue has as many different files, so that rare ones stay rare.
    pub nodes: u32,
    /// Copies of files, per node.
    pub copies: f64,
    /// The share of nodes that share anything.
    pub sharers: f64,
    /// The exponent of popularity, of files and of queries.
    pub popularity: f64,
    /// Different words that names are made of.
    pub vocabulary: u32,
    /// The exponent of the frequency of words (Zipf 1949).
    pub words: f64,
    /// Mandelbrot's offset to the rank of a word: 10 puts the commonest into one name in twenty.
    pub offset: f64,
}

impl ContentPlan {
    /// The workload as described above, for a network of so many nodes.
    #[must_use]
    pub const fn new(nodes: u32) -> Self {
        Self {
            nodes,
            copies: 2.0,
            sharers: 0.75,
            popularity: 0.8,
            vocabulary: 20_000,
            words: 1.0,
            offset: 10.0,
        }
    }
}

/// A file of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its words, each once, in the order of the name.
    pub words: Vec<u32>,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of its content.
    pub content: [u8; 32],
    /// The places of the nodes that have it, in ascending order.
    pub holders: Vec<u32>,
}

impl File {
    /// The key under which its providers are kept.
    #[must_use]
    pub fn key(&self) -> Id {
        ContentId::new(self.content).key()
    }
}

/// How many have a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// At most two nodes.
    Rare,
    /// Neither.
    Between,
    /// At least one node in a hundred, and at least eight.
    Popular,
}

/// What is to be found by what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum By {
    /// By what names it exactly: its key where there is one, its full name elsewhere.
    Key,
    /// By one to three words of its name.
    Words,
}

/// One question of one user, who means one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The place of the node that asks; it does not have the file.
    pub asker: u32,
    /// The file meant.
    pub file: u32,
    /// How it is asked for.
    pub by: By,
    /// The words it is asked for with; all of the name if by key.
    pub words: Vec<u32>,
}

/// The catalogue, and who has what.
#[derive(Clone, Debug)]
pub struct Content {
    plan: ContentPlan,
    seed: u64,
    files: Vec<File>,
    /// The files at each place.
    shelves: Vec<Vec<u32>>,
    /// The files whose names carry a word, in ascending order.
    index: Vec<Vec<u32>>,
}

impl Content {
    /// # Panics
    /// If there are fewer than two nodes or no words.
    #[must_use]
    pub fn new(plan: ContentPlan, seed: u64) -> Self {
        assert!(plan.nodes > 1 && plan.vocabulary > 8, "nothing to share, or nobody to share with");
        let mut rng = rng(seed, 1);
        let mut sharers: Vec<u32> = (0..plan.nodes).collect();
        rng.shuffle(&mut sharers);
        // At most the number of nodes.
        let count = (f64::from(plan.nodes) * plan.sharers) as usize;
        sharers.truncate(count.max(1));
        let words = Zipf::with_offset(plan.vocabulary, plan.words, plan.offset);
        let popularity = Zipf::new(plan.nodes, plan.popularity);
        let copies = f64::from(plan.nodes) * plan.copies;
        let mut content = Self {
            plan,
            seed,
            files: Vec::new(),
            shelves: vec![Vec::new(); plan.nodes as usize],
            index: vec![Vec::new(); plan.vocabulary as usize],
        };
        for file in 0..plan.nodes {
            let holders = (copies * popularity.share(file) + 0.5) as usize;
            content.add(file, holders.clamp(1, sharers.len()), &sharers, &words, &mut rng);
        }
        content
    }

    fn add(&mut self, file: u32, copies: usize, sharers: &[u32], words: &Zipf, rng: &mut Rng) {
        let length = 3 + rng.below(3) as usize;
        let mut chosen = Vec::with_capacity(length);
        while chosen.len() < length {
            let word = words.draw(rng);
            if !chosen.contains(&word) {
                chosen.push(word);
            }
        }
        let mut holders = alloc::collections::BTreeSet::new();
        while holders.len() < copies {
            holders.insert(sharers[rng.below(sharers.len() as u64) as usize]);
        }
        for place in &holders {
            self.shelves[*place as usize].push(file);
        }
        for word in &chosen {
            self.index[*word as usize].push(file);
        }
        self.files.push(File {
            name: name::of_file(&chosen),
            words: chosen,
            size: 1_000_000 + rng.below(9_000_000),
            content: rng.bytes(),
            holders: holders.into_iter().collect(),
        });
    }

    /// How it was made.
    #[must_use]
    pub const fn plan(&self) -> &ContentPlan {
        &self.plan
    }

    /// The catalogue, the most popular first.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// A file of the catalogue.
    ///
    /// # Panics
    /// If there is none with this number.
    #[must_use]
    pub fn file(&self, file: u32) -> &File {
        &self.files[file as usize]
    }

    /// The files at a place.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    pub fn shelf(&self, place: u32) -> &[u32] {
        &self.shelves[place as usize]
    }

    /// How many have it.
    #[must_use]
    pub fn class(&self, file: u32) -> Class {
        let copies = self.file(file).holders.len();
        let nodes = self.plan.nodes as usize;
        if copies <= 2 {
            Class::Rare
        } else if copies >= 8 && copies * 100 >= nodes {
            Class::Popular
        } else {
            Class::Between
        }
    }

    /// The files whose names carry all of these words, in ascending order.
    #[must_use]
    pub fn matching(&self, words: &[u32]) -> Vec<u32> {
        let mut lists: Vec<&Vec<u32>> = words.iter().map(|w| &self.index[*w as usize]).collect();
        lists.sort_unstable_by_key(|list| list.len());
        let Some((first, others)) = lists.split_first() else { return Vec::new() };
        let in_all = |file: &&u32| others.iter().all(|list| list.binary_search(file).is_ok());
        first.iter().filter(in_all).copied().collect()
    }

    /// Words as a user types them.
    #[must_use]
    pub fn text(&self, words: &[u32]) -> String {
        words.iter().map(|word| name::of_word(*word)).collect::<Vec<_>>().join(" ")
    }

    /// So many queries for files of one class, or of all, drawn by popularity; `stream` tells lists
    /// of queries apart. None if there is no such file.
    #[must_use]
    pub fn queries(&self, class: Option<Class>, by: By, count: usize, stream: u64) -> Vec<Query> {
        let mut rng = rng(self.seed, 2 + stream);
        let chosen: Vec<u32> = (0..self.plan.nodes)
            .filter(|file| class.is_none_or(|class| self.class(*file) == class))
            .collect();
        if chosen.is_empty() {
            return Vec::new();
        }
        let weight = |file: &u32| libm::pow(f64::from(*file) + 1.0, -self.plan.popularity);
        let popularity = Zipf::of_weights(chosen.iter().map(weight));
        (0..count)
            .map(|_| {
                let file = chosen[popularity.draw(&mut rng) as usize];
                self.query(file, by, &mut rng)
            })
            .collect()
    }

    /// So many queries for one file.
    #[must_use]
    pub fn queries_for(&self, file: u32, by: By, count: usize, stream: u64) -> Vec<Query> {
        let mut rng = rng(self.seed, 2 + stream);
        (0..count).map(|_| self.query(file, by, &mut rng)).collect()
    }

    fn query(&self, file: u32, by: By, rng: &mut Rng) -> Query {
        let File { holders, words, .. } = self.file(file);
        // A quarter of the nodes has nothing at all, so this ends.
        let asker = loop {
            let place = rng.below(u64::from(self.plan.nodes)) as u32;
            if holders.binary_search(&place).is_err() {
                break place;
            }
        };
        let mut words = words.clone();
        if by == By::Words {
            rng.shuffle(&mut words);
            words.truncate(1 + rng.below(3) as usize);
        }
        Query { asker, file, by, words }
    }
}

/// A generator for one use.
pub(crate) fn rng(seed: u64, stream: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&mix(stream).to_le_bytes());
    Rng::from_seed(bytes)
}

#[cfg(test)]
mod tests;
