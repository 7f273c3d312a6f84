//! The report: Markdown with tables and the plots, for people who have never seen the project.

use core::fmt::Write;

use kadlet_core::Config;

use super::figures::{Answers, Tally, wilson};
use super::script::Group;
use super::{Comparison, Row, System};
use crate::classics::NO_CONNECTION;
use crate::page::{self, Page, RIGHT, picture};
use crate::plot::{Axis, Bars, Line, Look, Plot, Scale};
use crate::quality::quantile;
use crate::unit::Unit;

/// What a table or a line of a plot shows of a row.
type Value<'a> = &'a dyn Fn(&Row) -> f64;
/// The same of a table whose cells say more than a number.
type Cell<'a> = &'a dyn Fn(&Row) -> String;
/// Where there is no number.
const NONE: &str = "–";

impl Comparison {
    /// The files of a report: `report.md`, `rows.jsonl` and the plots.
    #[must_use]
    pub fn report(&self, rows: &[Row]) -> Vec<Page> {
        // It speaks of the sizes that are there.
        let mut sizes: Vec<u32> = rows.iter().map(|row| row.nodes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let this = Self { sizes, ..self.clone() };
        let mut files = vec![
            ("report.md".to_owned(), this.markdown(rows)),
            ("rows.jsonl".to_owned(), this.json_lines(rows)),
        ];
        let plots = this.plots(rows);
        files.extend(plots.into_iter().map(|(name, plot)| (format!("{name}.svg"), plot)));
        files
    }

    fn json_lines(&self, rows: &[Row]) -> String {
        rows.iter().map(|row| row.json(self.seed) + "\n").collect()
    }

    /// What stands below every plot.
    fn method(&self, what: &str) -> String {
        let sizes = self.sizes_text();
        let session = "machines stay 10,000 s on average (Weibull, shape 0.5)";
        format!(
            "{what}
Simulation with seed {}: n = {sizes}; round trips 156 ms at the median; {session}.
Napster: one index server. Gnutella 0.4: questions flood 7 hops. Kademlia: real Kadlet nodes, k = {}.",
            self.seed,
            self.kademlia.lookup.k,
        )
    }

    fn sizes_text(&self) -> String {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        let sizes: Vec<String> = sizes.iter().map(|n| Unit::Count.write(f64::from(*n))).collect();
        match sizes.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn plots(&self, rows: &[Row]) -> Vec<(&'static str, String)> {
        let queries = self.queries;
        let success = |what: &str| {
            format!(
                "Found: the address of a running machine that has the file. {queries} queries a point, {what}."
            )
        };
        let of =
            |group: Group, value: fn(&Tally) -> f64| move |row: &Row| value(&row.steady.of(group));
        let mixed =
            "one query of any user: files drawn by popularity, half by key and half by words";
        let two = |a: Value<'_>, b: Value<'_>, names: [&str; 2]| {
            lines(rows, &[(names[0], a), (names[1], b)])
        };
        let nodes = Axis {
            at: sizes(rows).into_iter().map(f64::from).collect(),
            ..Axis::new("nodes in the network, n (logarithmic)", Scale::Log)
        };
        let plot = |title: &str, axis, unit, scale, lines, method: String| {
            let (title, method, x) = (title.to_owned(), self.method(&method), nodes.clone());
            Plot { title, method, x, y: Axis { unit, ..Axis::new(axis, scale) }, lines }.svg()
        };
        let keys = ["by key", "by words"];
        let hour = "What joining, publishing and keeping in touch sends in an hour in which nobody asks for anything";
        vec![
            ("success-rare", plot(
                "Rare files: how often is one found?",
                "queries that found the file meant",
                Unit::Share,
                Scale::Linear,
                two(&of(Group::RareKey, Tally::success), &of(Group::RareWords, Tally::success), keys),
                success("for files that at most 2 machines have"),
            )),
            ("success-popular", plot(
                "Popular files: how often is one found?",
                "queries that found the file meant",
                Unit::Share,
                Scale::Linear,
                two(&of(Group::PopularKey, Tally::success), &of(Group::PopularWords, Tally::success), keys),
                success("for files that 1 % of the machines have (8 at least)"),
            )),
            ("query-messages", plot(
                "What does one question cost, in messages?",
                "messages a query (each step: ten times as many)",
                Unit::Count,
                Scale::Decades,
                lines(rows, &[("", &of(Group::Mixed, Tally::messages))]),
                format!("All messages of all machines for {mixed}; mean of {queries}."),
            )),
            ("query-bytes", plot(
                "What does one question cost, in bytes?",
                "bytes a query (each step: ten times as many)",
                Unit::Bytes,
                Scale::Decades,
                lines(rows, &[("", &of(Group::Mixed, Tally::bytes))]),
                format!("With headers of IP and TCP or UDP, for {mixed}; mean of {queries}."),
            )),
            ("first-result", plot(
                "How long until the first useful answer?",
                "time to a connection (each step: ten times)",
                Unit::Milliseconds,
                Scale::Decades,
                two(
                    &|row| quantile(&row.steady.of(Group::Mixed).first, 500),
                    &|row| quantile(&row.steady.of(Group::Mixed).first, 950),
                    ["median", "95 % are faster"],
                ),
                format!("To a connection to fetch from, of those that found it, with {} s for each machine tried that has left; {mixed}; {queries} queries a point.", NO_CONNECTION.as_secs()),
            )),
            ("last-result", plot(
                "How long do answers keep coming?",
                "time to the last result",
                Unit::Milliseconds,
                Scale::Linear,
                two(
                    &|row| quantile(&row.steady.of(Group::Mixed).last, 500),
                    &|row| quantile(&row.steady.of(Group::Mixed).last, 950),
                    ["median", "95 % are faster"],
                ),
                format!("Of those that found it; {mixed}; {queries} queries a point."),
            )),
            ("upkeep", plot(
                "What does it cost just to be there?",
                "bytes per machine and hour (each step: ten times)",
                Unit::Bytes,
                Scale::Decades,
                lines(rows, &[("", &|row| row.upkeep.bytes)]),
                format!("{hour}; mean over all machines."),
            )),
            ("busiest", plot(
                "Upkeep of the busiest machine, and a mean share of the queries",
                "bytes in and out in an hour (each step: ten times)",
                Unit::Bytes,
                Scale::Decades,
                lines(rows, &[("", &Row::busiest_bytes)]),
                "Upkeep of the busiest machine, and a mean share of one query an hour from everybody (Napster: the server, all of both).".to_owned(),
            )),
            ("state", plot(
                "How much must a machine remember?",
                "bytes (each step: ten times as many)",
                Unit::Bytes,
                Scale::Decades,
                two(&|row| row.upkeep.state, &|row| row.upkeep.state_most, ["on average", "the most"]),
                "What the protocol makes it keep: contacts, records, index entries, GUIDs of 10 minutes; own files not.".to_owned(),
            )),
            ("misfortune", self.misfortune(rows)),
        ]
    }

    fn misfortune(&self, rows: &[Row]) -> String {
        // The largest at which all three have come so far, if they have at any.
        let came = |row: &Row| row.one.of(Group::Aftermath).asked > 0;
        let all = |n: &u32| rows.iter().filter(|row| row.nodes == *n && came(row)).count() == 3;
        let sizes = || rows.iter().map(|row| row.nodes);
        let n = sizes().filter(all).max().or(sizes().max()).unwrap_or(0);
        let largest: Vec<&Row> = rows.iter().filter(|row| row.nodes == n).collect();
        let bars = |value: Value<'_>| {
            let row = |system| largest.iter().find(|row| row.system == system);
            System::ALL.map(|system| row(system).map_or(f64::NAN, |row| value(row))).to_vec()
        };
        let after = |answers: &Answers| answers.of(Group::Aftermath).success();
        let asked = |answers: fn(&Row) -> &Answers| {
            largest.iter().map(|row| answers(row).of(Group::Aftermath).asked).min().unwrap_or(0)
        };
        let least = asked(|row| &row.random).min(asked(|row| &row.best)).min(asked(|row| &row.one));
        let lost = Unit::Share.write(self.lost);
        let method = self.method(&format!(
            "n = {}; the same questions for each bar, less those whose asker or file is gone: at least {least}, within {} s of the loss.",
            Unit::Count.write(f64::from(n)),
            self.timeline.aftermath.as_secs(),
        ));
        Bars {
            title: "When machines vanish: how often is a file still found?".to_owned(),
            method: method + "\nOne machine: Napster's server; Gnutella's best-connected; in Kademlia the node closest to the most popular key.",
            axis: "queries that found the file meant".to_owned(),
            names: System::ALL.map(|system| (system.name().to_owned(), look(system, 0))).to_vec(),
            groups: vec![
                ("all is well".to_owned(), bars(&|row| after(&row.unharmed))),
                ("one machine, of an\nattacker's choice".to_owned(), bars(&|row| after(&row.one))),
                (format!("{lost} of all,\nat random"), bars(&|row| after(&row.random))),
                (format!("{lost} of all,\nbest-connected first"), bars(&|row| after(&row.best))),
            ],
        }
        .svg()
    }

    fn markdown(&self, rows: &[Row]) -> String {
        let mut text = self.opening();
        let (queries, k) = (self.queries, self.kademlia.lookup.k);
        let group =
            |group: Group, value: fn(&Tally) -> f64| move |row: &Row| value(&row.steady.of(group));
        let share = |group: Group| move |row: &Row| found(&row.steady.of(group));
        let mut section = |title: &str,
                           words: &str,
                           plots: &[(&str, &str)],
                           shares: &[(&str, Cell<'_>)],
                           tables: &[(&str, Unit, Value<'_>)]| {
            // Writing into a string never fails.
            let _ = writeln!(text, "\n## {title}\n\n{words}");
            for (file, alt) in plots {
                let _ = write!(text, "\n{}", picture(file, alt));
            }
            for (caption, cell) in shares {
                let _ = write!(text, "\n{}", table(rows, caption, cell));
            }
            for (caption, unit, value) in tables {
                let _ = write!(text, "\n{}", table(rows, caption, &|row| unit.write(value(row))));
            }
        };
        section(
            "Is it found?",
            "A query counts as answered when it led to the address of a machine that runs and has the file its user meant. *Rare* files are on at most two machines, *popular* ones on one in a hundred (and at least eight). *By key* means by what names a file exactly: its hash in Kademlia, its full name in the other two, which know no hashes. *By words* means by one to three words of the name; one common word may fit more files than a system is willing to list, and then the one meant may be missing. In brackets is the interval in which the share lies with 95 % confidence (Wilson), as if each question were drawn by itself. All are of one seed: how other networks of the same size would differ is not in it.",
            &[
                ("success-rare", "Success for rare files against the number of nodes"),
                ("success-popular", "Success for popular files against the number of nodes"),
            ],
            &[
                ("Rare, by key", &share(Group::RareKey)),
                ("Rare, by words", &share(Group::RareWords)),
                ("Popular, by key", &share(Group::PopularKey)),
                ("Popular, by words", &share(Group::PopularWords)),
                ("Results that name a machine which has left", &|row| {
                    let tally = row.steady.of(Group::Mixed);
                    of(Unit::Share.write(tally.stale_share()), tally.results)
                }),
            ],
            &[("Machines that looked, a query", Unit::Count, &group(Group::Mixed, Tally::reach))],
        );
        section(
            "What does a question cost?",
            &format!(
                "Means over {queries} queries as users ask them: files drawn by popularity, half by key and half by words. A question to Napster costs whatever its results take. A flood costs as many messages as there are connections in reach, most of them to machines that have heard the question already (the second table); beyond its seven hops it grows no more, and no longer reaches everybody. A lookup in Kademlia asks some dozens of machines, a few more each time the network grows tenfold; by words it is two lookups, one for the name and one for who has the file."
            ),
            &[
                ("query-messages", "Messages a query against the number of nodes"),
                ("query-bytes", "Bytes a query against the number of nodes"),
            ],
            &[],
            &[
                ("Messages a query", Unit::Count, &group(Group::Mixed, Tally::messages)),
                (
                    "Copies of the question that came to machines which had it already",
                    Unit::Count,
                    &group(Group::Mixed, Tally::wasted),
                ),
                ("Bytes a query", Unit::Bytes, &group(Group::Mixed, Tally::bytes)),
            ],
        );
        section(
            "How long does it take?",
            &format!(
                "From the question to a connection from which the file can be fetched, and to the last result of any kind, both of the questions that found the file. Who is named as having the file is tried in the order in which the names come, one at a time, until one is there; the last name may be known before that. A try takes a round trip to a machine that is there, in all three, and {} s of waiting for one that has left. A search by words in Kademlia counts both of its lookups. Napster's time includes another question to the server for each address. Connections count in no table of messages or bytes, as the transfers do not.",
                NO_CONNECTION.as_secs(),
            ),
            &[
                ("first-result", "Time to the first result"),
                ("last-result", "Time to the last result"),
            ],
            &[],
            &[
                ("First result, median", Unit::Milliseconds, &|row| {
                    quantile(&row.steady.of(Group::Mixed).first, 500)
                }),
                ("First result, 95 % are faster", Unit::Milliseconds, &|row| {
                    quantile(&row.steady.of(Group::Mixed).first, 950)
                }),
                ("Last result, median", Unit::Milliseconds, &|row| {
                    quantile(&row.steady.of(Group::Mixed).last, 500)
                }),
                ("Last result, 95 % are faster", Unit::Milliseconds, &|row| {
                    quantile(&row.steady.of(Group::Mixed).last, 950)
                }),
            ],
        );
        section(
            "What does it cost to be there?",
            &format!(
                "What machines send in an hour in which nobody asks for anything: joining, publishing what they share, keeping in touch. Gnutella's upkeep is the PING of every newcomer, which floods as a question does, and the PONGs that all in reach send back. Kademlia's is mostly publication: every file is announced to {k} nodes under its key and under each word of its name, again by every newcomer that brings files. The second table adds one query an hour from everybody."
            ),
            &[("upkeep", "Bytes per machine and hour against the number of nodes")],
            &[],
            &[
                ("Upkeep, messages per machine and hour", Unit::Count, &|row| row.upkeep.messages),
                ("Upkeep, bytes per machine and hour", Unit::Bytes, &|row| row.upkeep.bytes),
                (
                    "Upkeep and one query an hour, bytes per machine and hour",
                    Unit::Bytes,
                    &Row::total_bytes,
                ),
            ],
        );
        section(
            "Who bears it?",
            "The busiest machine: in Napster the server, through which everything goes, so that its load and its memory grow with the number of users. In Gnutella whoever has most connections. In Kademlia whoever is close to the commonest words. Upkeep is counted machine by machine in the hour without questions, and a machine that left during it counts with what it had until then. Of the questions a mean share is added, all of them only to the server: who bears most of them was not measured, and bears more than the table says. State is what the protocol makes a machine remember, without what programs add to it, and without its own files.",
            &[
                ("busiest", "Bytes at the busiest machine against the number of nodes"),
                ("state", "State against the number of nodes"),
            ],
            &[],
            &[
                (
                    "Upkeep of the busiest machine, and a mean share of one query an hour from everybody: bytes in and out in an hour",
                    Unit::Bytes,
                    &Row::busiest_bytes,
                ),
                ("State of a machine, mean", Unit::Bytes, &|row| row.upkeep.state),
                ("State of the machine that has most", Unit::Bytes, &|row| row.upkeep.state_most),
            ],
        );
        let after = |answers: fn(&Row) -> &Answers| {
            move |row: &Row| found(&answers(row).of(Group::Aftermath))
        };
        let victim =
            |answers: fn(&Row) -> &Answers| move |row: &Row| found(&answers(row).of(Group::Victim));
        let lost = Unit::Share.write(self.lost);
        section(
            "What if machines vanish?",
            &format!(
                "At once and without goodbye; queries as users ask them begin one second later, while the systems mend themselves as they do. Only queries count whose asker still runs and whose file somebody still has, so that the shares are of fewer questions the more have gone; those of nothing lost are the same list, all of it. *One machine of an attacker's choice*: Napster's server, the Gnutella machine with most connections, the Kademlia node closest to the key of the most popular file (that file alone: third table). *Best-connected first*: {lost} of all machines, in Gnutella those with most connections, in Kademlia those that stand in most routing tables; of Napster the server is enough."
            ),
            &[("misfortune", "Success after machines have vanished")],
            &[
                ("Nothing lost", &after(|row| &row.unharmed)),
                ("One machine lost", &after(|row| &row.one)),
                ("One machine lost, queries for the most popular file", &victim(|row| &row.one)),
                (&format!("{lost} lost at random"), &after(|row| &row.random)),
                (&format!("{lost} lost, best-connected first"), &after(|row| &row.best)),
            ],
            &[],
        );
        text.push_str(LIMITS);
        text
    }

    fn opening(&self) -> String {
        let (sizes, seed, queries) = (self.sizes_text(), self.seed, self.queries);
        let k = self.kademlia.lookup.k;
        let usual = Config::default().lookup.k;
        let other = if k == usual { String::new() } else { format!(" --k {k}") };
        let list = |join: &str| {
            let mut sizes = self.sizes.clone();
            sizes.sort_unstable();
            sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(join)
        };
        format!(
            "# One index, everybody, or a distributed hash table?

Three ways to find who has a file, side by side in one simulation:

- **Napster** (1999): one server keeps an index of what everybody shares; all questions go there.
- **Gnutella 0.4** (2000): no index. Machines are connected at random, 3.4 connections each on average; a question is passed on to all neighbours for seven hops, and hits come back the way the question came.
- **Kademlia** (2002): the index is spread over all machines; whoever is close to a key keeps what belongs to it, and is found in a number of steps that grows with the logarithm of the network. These are real Kadlet nodes (k = {k}) that exchange real datagrams; only time and the network between them are simulated.

All three have the same machines, round-trip times (log-normal, median 156 ms), comings and goings (Weibull sessions, shape 0.5, mean 10,000 s; who leaves says no goodbye, and another machine brings the same files), files and questions. n = {sizes} machines, seed {seed}, {queries} queries in each group.

```text
kadlet-sim compare --sizes {} --seed {seed}{other}
```

Files: as many different ones as there are machines and 2.1 to 2.2 copies per machine on average (2 by the law of popularity, but of each file at least one), on three quarters of the machines (Saroiu et al. 2002). Popularity of files and of questions follows Zipf's law with exponent 0.8 (Sripanidkulchai 2001 measured 0.63 to 1.24 for questions in Gnutella). Names have three to five words, which follow Zipf's law too. Bytes are those on the wire: with 28 bytes of IP and UDP for each datagram, 40 of IP and TCP for each segment; TCP's bare acknowledgements are not counted.
",
            list(",")
        )
    }
}

/// A table: a row for each size, a column for each system.
fn table(rows: &[Row], caption: &str, cell: Cell<'_>) -> String {
    let mut columns = vec![(caption, RIGHT)];
    columns.extend(System::ALL.map(|system| (system.name(), RIGHT)));
    let cells = |nodes: u32| {
        let of = |system| {
            // One that has not ended yet has no row.
            let row = rows.iter().find(|row| (row.nodes, row.system) == (nodes, system));
            row.map_or_else(|| NONE.to_owned(), cell)
        };
        let mut cells = vec![format!("n = {}", Unit::Count.write(f64::from(nodes)))];
        cells.extend(System::ALL.map(of));
        cells
    };
    page::table(&columns, sizes(rows).into_iter().map(cells))
}

/// How often it was found, where that lies with 95 % confidence, and of how many.
fn found(tally: &Tally) -> String {
    if tally.asked == 0 {
        return NONE.to_owned();
    }
    let [from, to] = wilson(tally.found, tally.asked).map(|bound| Unit::Share.write(bound));
    let (from, share) = (from.trim_end_matches(" %"), Unit::Share.write(tally.success()));
    of(format!("{share} ({from} to {to})"), tally.asked)
}

/// A share and of how many.
fn of(share: String, count: u64) -> String {
    if count == 0 { share } else { format!("{share} of {}", Unit::Count.write(count as f64)) }
}

/// In ascending order, as rows come.
fn sizes(rows: &[Row]) -> Vec<u32> {
    let mut sizes: Vec<u32> = rows.iter().map(|row| row.nodes).collect();
    sizes.dedup();
    sizes
}

/// Each system has its colour and mark in all plots.
const fn look(system: System, dash: usize) -> Look {
    let colour = match system {
        System::Gnutella => 0,
        System::Napster => 1,
        System::Kademlia => 2,
    };
    Look { colour, dash }
}

/// Lines of every system over the number of nodes; what tells a system's lines apart is dashed from the
/// second on.
fn lines(rows: &[Row], of: &[(&str, Value<'_>)]) -> Vec<Line> {
    let mut lines = Vec::new();
    for system in System::ALL {
        for (dash, (variant, value)) in of.iter().enumerate() {
            let rows = rows.iter().filter(|row| row.system == system);
            let points = rows.map(|row| (f64::from(row.nodes), value(row))).collect();
            let name = match *variant {
                "" => system.name().to_owned(),
                variant => format!("{}, {variant}", system.name()),
            };
            lines.push(Line { look: Some(look(system, dash)), ..Line::new(name, points) });
        }
    }
    lines
}

const LIMITS: &str = "
## What was left out

Everybody can be reached (no firewalls, so no PUSH and no relayed transfers), lines are wide enough, and nothing is lost on the way: each of these hurts floods most. Gnutella's later repairs (ultrapeers, caches of PONGs, dynamic queries) and Napster's many servers are not 0.4 and not one index. The files themselves are fetched from whoever has them in all three, and count nowhere.
";
