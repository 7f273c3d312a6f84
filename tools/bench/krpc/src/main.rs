//! The four datagrams of docs/benchmarks.md, read and written by Kadlet, mainline and bt_bencode.
//!
//! Prints the datagrams in hex, and then for each line that comes in one round: nanoseconds for
//! everyone, every message and both ways. `run.py` puts libtorrent's rounds between.

#[path = "../../../../core/benches/krpc/datagrams.rs"]
mod datagrams;

use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::Instant;

use kadlet_core::wire::mainline::Mainline;

/// The median of nine times so many runs, in nanoseconds a run.
fn measure<T>(runs: u32, mut run: impl FnMut() -> T) -> f64 {
    let mut times = [0.0; 9];
    for time in &mut times {
        let start = Instant::now();
        for _ in 0..runs {
            // By reference: what comes out need not be moved once more.
            black_box(&run());
        }
        *time = start.elapsed().as_secs_f64() * 1e9 / f64::from(runs);
    }
    times.sort_by(f64::total_cmp);
    times[4]
}

fn main() -> io::Result<()> {
    let parts = datagrams::Parts::new();
    let messages = parts.messages();
    let mut out = io::stdout().lock();
    for (name, _, datagram) in &messages {
        let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{name}\t{hex}")?;
    }
    writeln!(out)?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        line?;
        for (name, message, datagram) in &messages {
            let theirs = mainline::Message::from_bytes(datagram).expect("what everyone reads");
            let tree: bt_bencode::Value = bt_bencode::from_slice(datagram).expect("bencode");
            // It says `ro` = 0 everywhere, so that its datagrams are seven bytes longer.
            let written = theirs.to_bytes().expect("what it read");
            assert_eq!(written.len(), datagram.len() + 7);
            assert_eq!(&bt_bencode::to_vec(&tree).expect("a tree"), datagram);
            let times = [
                ("kadlet decode", measure(2_000, || Mainline.decode(black_box(datagram)))),
                (
                    "kadlet encode",
                    measure(2_000, || {
                        let mut out = Vec::new();
                        Mainline.encode(black_box(message), &mut out);
                        out
                    }),
                ),
                ("a copy", measure(2_000, || black_box(datagram).clone())),
                (
                    "mainline decode",
                    measure(200, || mainline::Message::from_bytes(black_box(datagram))),
                ),
                ("mainline encode", measure(200, || black_box(&theirs).to_bytes())),
                (
                    "bt_bencode decode",
                    measure(200, || {
                        bt_bencode::from_slice::<bt_bencode::Value>(black_box(datagram))
                    }),
                ),
                ("bt_bencode encode", measure(200, || bt_bencode::to_vec(black_box(&tree)))),
            ];
            for (what, time) in times {
                writeln!(out, "{name}\t{what}\t{time}")?;
            }
        }
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}
