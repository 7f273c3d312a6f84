//! The order of a module's functions: each beside the one that it is most like.
//!
//! What a page loads is compressed by something that remembers 32 kB. Functions that came of one
//! generic, or do the same to other fields, are nearly the same bytes, and they are of use to each
//! other only if they lie that near. Nothing but the order changes, so nothing is slower for it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionSectionReader, Parser, Payload, TypeRef};

/// Bytes that have to be the same in a row: shorter ones are everywhere.
const RUN: usize = 6;

/// How far a function of a few bytes is from being like another by chance, in bytes.
const SHORT: f64 = 20.0;

/// The same module, its functions in another order.
pub(crate) fn reordered(module: &[u8]) -> Result<Vec<u8>> {
    let (mut imported, mut bodies) = (0, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body.as_bytes()),
            _ => {}
        }
    }
    let order = chain(&bodies);
    let mut places = vec![0; order.len()];
    for (place, from) in order.iter().enumerate() {
        places[*from] = u32::try_from(place)? + imported;
    }
    let mut made = Module::new();
    let mut rewrite = Rewrite { imported, order, places };
    rewrite.parse_core_module(&mut made, Parser::new(0), module)?;
    Ok(made.finish())
}

/// From the longest function on, always the one next that shares most with the last, for its length.
/// What few functions have counts more than what many have.
fn chain(bodies: &[&[u8]]) -> Vec<usize> {
    let runs: Vec<BTreeSet<&[u8]>> =
        bodies.iter().map(|body| body.windows(RUN).collect()).collect();
    let mut holders: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (at, runs) in runs.iter().enumerate() {
        for run in runs {
            holders.entry(run).or_default().push(at);
        }
    }
    let all = bodies.len() as f64;
    let mut left: BTreeSet<usize> = (0..bodies.len()).collect();
    let mut order = Vec::with_capacity(bodies.len());
    let mut shared = vec![0.0; bodies.len()];
    let mut last = None;
    while let Some(next) = last
        .and_then(|last: usize| {
            shared.fill(0.0);
            for run in &runs[last] {
                let holders = &holders[run];
                let weight = (all / holders.len() as f64).ln();
                holders.iter().for_each(|at| shared[*at] += weight);
            }
            let length = |at: usize| runs[at].len() as f64;
            let like = |at: usize| shared[at] / (length(at) + length(last) + SHORT);
            let alike = left.iter().copied().filter(|at| shared[*at] > 0.0);
            alike.max_by(|a, b| like(*a).total_cmp(&like(*b)))
        })
        .or_else(|| left.iter().copied().max_by_key(|at| bodies[*at].len()))
    {
        left.remove(&next);
        order.push(next);
        last = Some(next);
    }
    order
}

/// Writes the module with its functions in this order.
struct Rewrite {
    imported: u32,
    /// Which function stands at each place.
    order: Vec<usize>,
    /// The index that each function gets.
    places: Vec<u32>,
}

impl Reencode for Rewrite {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        let own = function.checked_sub(self.imported);
        Ok(own.map_or(function, |own| self.places[own as usize]))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error> {
        let types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
        for from in &self.order {
            functions.function(types[*from]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error> {
        let bodies = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        for from in self.order.clone() {
            utils::parse_function_body(self, code, bodies[from].clone())?;
        }
        Ok(())
    }
}
