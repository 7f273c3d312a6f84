//! What a run is made of, as a file says it: TOML, flat, every value with its unit.
//!
//! ```toml
//! kind = "lookups"
//! about = "Two in a hundred datagrams are lost."
//! nodes = 1000
//! loss = ["0 %", "2 %"]
//! ```
//!
//! Of a list each value is run.

mod keys;
mod library;
mod quantity;
mod run;

use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::link::Pairs;
pub use keys::{KEYS, Key, Kind, find as find_key};
pub use library::LIBRARY;
pub use quantity::{Quantity, Takes};

/// What hostile nodes may do: the names of [`crate::hostile::Strategy::ALL`].
const STRATEGIES: &[&str] = &[
    "silent",
    "closest-lies",
    "forged-lies",
    "plausible-lies",
    "poison",
    "misplaced",
    "forgetful",
];

/// Hostile nodes altogether: fewer than there are addresses for them, or ports where all have one
/// prefix.
const MOST_HOSTILE: u64 = 1_000_000;

/// Shares that are counted in whole percents.
const WHOLE: [&str; 5] = ["dead", "own", "part", "gone", "later"];

/// A scenario that can be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// What is done.
    pub kind: Kind,
    /// What it shows, in a sentence or two.
    pub about: String,
    /// Keys with several values, which are run in turn. The first of them is the scenario's own.
    pub sweeps: Vec<(String, Vec<String>)>,
    values: BTreeMap<&'static str, Quantity>,
}

/// Why a scenario cannot be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    /// The file or the option it is about.
    pub origin: String,
    /// The line in it, from 1 on.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.origin, self.what),
            None => write!(f, "{}: {}", self.origin, self.what),
        }
    }
}

impl core::error::Error for ScenarioError {}

impl Scenario {
    /// The scenario of the library with this name.
    ///
    /// # Errors
    /// If there is none; names those that are like it.
    pub fn named(name: &str) -> Result<Self, ScenarioError> {
        match LIBRARY.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(name, text, &format!("{name}.toml")),
            None => {
                let what = match nearest(name, LIBRARY.iter().map(|(name, _)| *name)) {
                    Some(near) => format!("no scenario has this name; did you mean {near}?"),
                    None => "no scenario has this name".to_owned(),
                };
                let what = format!(
                    "{what} `kadlet-sim list` names them all; a file's name ends with .toml"
                );
                Err(ScenarioError { origin: name.to_owned(), line: None, what })
            }
        }
    }

    /// Reads a scenario; `origin` is what errors call it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(name: &str, text: &str, origin: &str) -> Result<Self, ScenarioError> {
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let error = |at: Option<usize>, what: String| ScenarioError {
            origin: origin.to_owned(),
            line: at.map(line),
            what,
        };
        let table = DeTable::parse(text).map_err(|it| {
            error(it.span().map(|span| span.start), format!("not TOML: {}", it.message()))
        })?;
        let table = table.into_inner();
        let word = |key: &str| -> Result<Option<(&str, usize)>, ScenarioError> {
            let Some(value) = table.get(key) else { return Ok(None) };
            let at = value.span().start;
            match value.get_ref() {
                DeValue::String(text) => Ok(Some((text.as_ref(), at))),
                _ => Err(error(Some(at), format!("{key}: expected a text in quotes"))),
            }
        };
        let (named, at) = word("kind")?
            .ok_or_else(|| error(None, format!("`kind` is missing: one of {}", kinds())))?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == named).ok_or_else(|| {
            error(Some(at), format!("kind: expected one of {}, not `{named}`", kinds()))
        })?;
        let about = word("about")?.map(|(text, _)| text.to_owned()).unwrap_or_default();
        let mut scenario = Self {
            name: name.to_owned(),
            kind,
            about,
            sweeps: Vec::new(),
            values: BTreeMap::new(),
        };
        for (key, value) in &table {
            let name = key.get_ref().as_ref();
            if name == "kind" || name == "about" {
                continue;
            }
            let of = |value: &Spanned<DeValue<'_>>| {
                let at = Some(value.span().start);
                let text = written(value.get_ref());
                text.map_err(|what| error(at, format!("{name}: {what}"))).map(|text| (text, at))
            };
            let DeValue::Array(values) = value.get_ref() else {
                let (text, at) = of(value)?;
                scenario.insert(name, &text).map_err(|what| error(at, what))?;
                continue;
            };
            let values = values.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            if values.is_empty() {
                let what = format!("{name}: expected at least one value in the list");
                return Err(error(Some(value.span().start), what));
            }
            // The first last: it is the one that stays.
            for (text, at) in values.iter().rev() {
                scenario.insert(name, text).map_err(|what| error(*at, what))?;
            }
            let values = values.into_iter().map(|(text, _)| text).collect();
            scenario.sweeps.push((name.to_owned(), values));
        }
        scenario.check().map_err(|what| error(None, what))?;
        Ok(scenario)
    }

    /// Changes a key, as `--set` does. Of a list only this value is left.
    ///
    /// # Errors
    /// What is wrong with the key or its value. Whether it goes with the others says
    /// [`Self::check`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ScenarioError> {
        let origin = format!("--set {key}={value}");
        self.sweeps.retain(|(swept, _)| swept != key);
        self.insert(key, value).map_err(|what| ScenarioError { origin, line: None, what })
    }

    fn insert(&mut self, name: &str, text: &str) -> Result<(), String> {
        let kind = self.kind;
        let Some(key) = find_key(name) else {
            let near = nearest(name, KEYS.iter().filter(|key| key.is_of(kind)).map(|key| key.name));
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("no key is called {name}{near}"));
        };
        if !key.is_of(kind) {
            return Err(format!("{name} means nothing in a scenario of the kind {}", kind.name()));
        }
        let value =
            key.takes.read(text).map_err(|expected| format!("{name}: expected {expected}"))?;
        if let (Quantity::Share(share), true) = (value, WHOLE.contains(&name))
            && share % 10_000 != 0
        {
            return Err(format!("{name}: expected whole percents, not `{text}`"));
        }
        self.values.insert(key.name, value);
        Ok(())
    }

    /// Whether all values go together.
    ///
    /// # Errors
    /// What does not, and what would.
    pub fn check(&self) -> Result<(), String> {
        let nodes = self.count("nodes");
        let fits = |key: &str, count: u64, most: u64| {
            (count <= most).then_some(()).ok_or_else(|| {
                format!("{key} is {count}, but of {nodes} nodes at most {most} can be: raise nodes or lower {key}")
            })
        };
        if self.choice("sessions") != "forever" {
            let (scale, shape) = (self.time("session_scale"), self.number("session_shape"));
            if scale < Duration::from_secs(1) || !(0.2..=10.0).contains(&shape) {
                return Err("sessions need a session_scale of at least 1 s and a session_shape from 0.2 to 10: shorter ones end as they begin".to_owned());
            }
        }
        for (key, hours) in [("questionable_after", 9), ("refresh_after", 24)] {
            let (least, most) = (Duration::from_secs(60), Duration::from_secs(3_600 * hours));
            if !(least..=most).contains(&self.time(key)) {
                return Err(format!("{key} is to be from 1 min to {hours} h"));
            }
        }
        let some = |key: &str, count: u64, least: u64, most: u64| {
            (least..=most).contains(&count).then_some(()).ok_or_else(|| {
                format!(
                    "{key} is {count} of {nodes} nodes: it is to be from {least} to {most} of them"
                )
            })
        };
        if self.choice("wire") == "mainline" && self.share("later") > 0 {
            return Err("later is of the native wire: leave out wire, or later".to_owned());
        }
        if self.choice("wire") == "mainline" && self.kind == Kind::Republish {
            return Err("on Mainline holders hand nothing on: leave out wire".to_owned());
        }
        if self.share("later") > 0 {
            some("later", nodes * u64::from(self.share("later")) / 1_000_000, 1, nodes)?;
        }
        match self.kind {
            Kind::SybilRandom | Kind::SybilTargeted => {
                let askers = self.count("askers");
                fits("askers", askers, nodes.saturating_sub(2))?;
                if self.kind == Kind::SybilTargeted {
                    let hostile = self.count("hostile");
                    fits("hostile", hostile, nodes - askers - 1)?;
                    let (all, most) = (hostile * self.count("keys"), MOST_HOSTILE);
                    return (all <= most).then_some(()).ok_or_else(|| {
                        format!("hostile times keys is {all}, and at most {most} hostile nodes have addresses: lower one of them")
                    });
                }
                let hostile = nodes * u64::from(self.share("hostile_share")) / 1_000_000;
                // Those who ask are honest, and come last.
                fits("hostile_share", hostile, nodes - askers - 1)
            }
            Kind::Partition => {
                let part = nodes * u64::from(self.share("part")) / 1_000_000;
                some("part", part, 1, nodes - 1)
            }
            Kind::OfflineAndBack => {
                let gone = nodes * u64::from(self.share("gone")) / 1_000_000;
                some("gone", gone, 1, nodes - 1)
            }
            Kind::FlashCrowd
                if self.time("within").as_micros() < u128::from(self.count("newcomers")) =>
            {
                Err("within is too short for so many newcomers: give each a microsecond".to_owned())
            }
            Kind::HalfDead => {
                fits("askers", self.count("askers"), nodes)?;
                if self.share("own") > self.share("dead") {
                    return Err(
                        "own is more than dead: of a table no more can be dead than of all nodes"
                            .to_owned(),
                    );
                }
                let left = nodes - nodes * u64::from(self.share("dead")) / 1_000_000;
                (left >= 2).then_some(()).ok_or_else(|| {
                    format!("dead leaves {left} of {nodes} nodes: at least 2 must live")
                })
            }
            _ => Ok(()),
        }
    }

    /// All keys that mean something here, with their values.
    #[must_use]
    pub fn values(&self) -> Vec<(&'static str, Quantity)> {
        KEYS.iter()
            .filter(|key| key.is_of(self.kind))
            .map(|key| (key.name, self.get(key.name)))
            .collect()
    }

    fn get(&self, name: &str) -> Quantity {
        if let Some(value) = self.values.get(name) {
            return *value;
        }
        if name == "apart" && self.values.get("nats") == Some(&Quantity::Choice("measured")) {
            return Quantity::Share(Pairs::MEASURED.unreachable);
        }
        // The wire has numbers of its own.
        if self.values.get("wire") == Some(&Quantity::Choice("mainline")) {
            let config = kadlet_core::Config::mainline();
            match name {
                "k" => return Quantity::Count(config.lookup.k as u64),
                "alpha" => return Quantity::Count(config.lookup.alpha as u64),
                "refresh_after" => return Quantity::Time(config.table.refresh_after),
                _ => {}
            }
        }
        match find_key(name).map(|key| key.takes.read(key.default)) {
            Some(Ok(value)) => value,
            other => unreachable!("the default of {name}: {other:?}"),
        }
    }

    /// A whole number.
    #[must_use]
    pub fn count(&self, key: &str) -> u64 {
        match self.get(key) {
            Quantity::Count(count) => count,
            other => unreachable!("{key} is no count: {other:?}"),
        }
    }

    /// A whole number of things in memory.
    fn size(&self, key: &str) -> usize {
        usize::try_from(self.count(key)).unwrap_or(usize::MAX)
    }

    fn number(&self, key: &str) -> f64 {
        match self.get(key) {
            Quantity::Number(number) => number,
            other => unreachable!("{key} is no number: {other:?}"),
        }
    }

    fn share(&self, key: &str) -> u32 {
        match self.get(key) {
            Quantity::Share(share) => share,
            other => unreachable!("{key} is no share: {other:?}"),
        }
    }

    fn percent(&self, key: &str) -> usize {
        (self.share(key) / 10_000) as usize
    }

    fn time(&self, key: &str) -> Duration {
        match self.get(key) {
            Quantity::Time(time) => time,
            other => unreachable!("{key} is no time: {other:?}"),
        }
    }

    fn rate(&self, key: &str) -> Option<u64> {
        match self.get(key) {
            Quantity::Rate(rate) => rate,
            other => unreachable!("{key} is no rate: {other:?}"),
        }
    }

    fn choice(&self, key: &str) -> &'static str {
        match self.get(key) {
            Quantity::Choice(word) => word,
            other => unreachable!("{key} is no choice: {other:?}"),
        }
    }
}

/// A value as it is written.
fn written(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() != 10 => {
            Err("expected a number with the digits 0 to 9 alone".to_owned())
        }
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        _ => Err("expected a number, or a text in quotes, or a list of them".to_owned()),
    }
}

fn kinds() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

/// The word that is most like another, if one is like it at all.
fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| edits(word.as_bytes(), other.as_bytes());
    among
        .map(|other| (distance(other), other))
        .min()
        .filter(|(edits, _)| *edits <= 1 + word.len() / 3)
        .map(|(_, other)| other)
}

/// Letters to be put in, taken out or changed (Levenshtein).
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = corner + usize::from(left != right);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Scenario::parse("test", text, "test.toml").expect_err(text).to_string()
    }

    #[test]
    fn the_library_is_right_and_every_default_is() {
        for (name, _) in LIBRARY {
            let scenario = Scenario::named(name).expect("a scenario of the library");
            assert!(!scenario.about.is_empty(), "{name} does not say what it shows");
            assert!(!scenario.values().is_empty());
        }
        for key in KEYS {
            assert!(key.takes.read(key.default).is_ok(), "{}", key.name);
        }
    }

    #[test]
    fn the_strategies_are_those_there_are() {
        assert_eq!(STRATEGIES, crate::hostile::Strategy::ALL.map(crate::hostile::Strategy::name));
    }

    #[test]
    fn errors_name_the_place_and_what_would_be_right() {
        for (text, expected) in [
            ("nodes = 5", "test.toml: `kind` is missing: one of lookups, "),
            ("kind = \"look\"", "test.toml, line 1: kind: expected one of lookups, "),
            ("kind = \"lookups\"\nnodes = ", "test.toml, line 2: not TOML: "),
            (
                "kind = \"lookups\"\nlos = \"2 %\"",
                "test.toml, line 2: no key is called los; did you mean loss?",
            ),
            (
                "kind = \"lookups\"\n\nloss = \"150 %\"",
                "test.toml, line 3: loss: expected a share from \"0 %\" to \"100 %\", not `150 %`",
            ),
            (
                "kind = \"lookups\"\nnodes = 0",
                "test.toml, line 2: nodes: expected a whole number from 2 to ",
            ),
            (
                "kind = \"lookups\"\nround_trip = \"156\"",
                "test.toml, line 2: round_trip: expected a time like",
            ),
            (
                "kind = \"lookups\"\nround_trip = 156",
                "test.toml, line 2: round_trip: expected a time like",
            ),
            (
                "kind = \"lookups\"\nloss = true",
                "test.toml, line 2: loss: expected a number, or a text in quotes",
            ),
            ("kind = \"lookups\"\nk = []", "test.toml, line 2: k: expected at least one value"),
            (
                "kind = \"lookups\"\nk = [\n8,\n[9]]",
                "test.toml, line 4: k: expected a number, or a text in quotes",
            ),
            (
                "kind = \"lookups\"\nk = [\n8,\n99]",
                "test.toml, line 4: k: expected a whole number from 1 to 20",
            ),
            (
                "kind = \"lookups\"\nhostile = 3",
                "test.toml, line 2: hostile means nothing in a scenario of the kind lookups",
            ),
            ("kind = \"lookups\"\nnodes = 10\nnodes = 20", "test.toml, line 3: not TOML: "),
            (
                "kind = \"sybil-random\"\nnodes = 30\nhostile_share = \"100 %\"",
                "test.toml: hostile_share is 30, but of 30 nodes at most 9 can be",
            ),
        ] {
            let error = error(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    /// What would never end, or be counted as something else, is refused.
    #[test]
    fn what_cannot_be_run_is_refused() {
        for (text, expected) in [
            ("kind = \"flood\"\nwire = \"mainline\"", "test.toml, line 2: wire means nothing in"),
            (
                "kind = \"half-dead\"\ndead = \"12.5 %\"",
                "test.toml, line 2: dead: expected whole percents",
            ),
            (
                "kind = \"lookups\"\nsessions = \"weibull\"\nsession_scale = \"0 s\"",
                "test.toml: sessions need",
            ),
            ("kind = \"flash-crowd\"\nwithin = \"0 s\"", "test.toml: within is too short"),
            (
                "kind = \"flash-crowd\"\nsessions = \"weibull\"",
                "test.toml, line 2: sessions means nothing in",
            ),
            ("kind = \"republish\"\nlookups = 10", "test.toml, line 2: lookups means nothing in"),
            ("kind = \"partition\"\npace = \"1 s\"", "test.toml, line 2: pace means nothing in"),
            (
                "kind = \"flash-crowd\"\npolicies = \"classical\"",
                "test.toml, line 2: policies means nothing in",
            ),
            ("kind = \"lookups\"\nk = 21", "test.toml, line 2: k: expected a whole number"),
            (
                "kind = \"lookups\"\nnodes = 0x60",
                "test.toml, line 2: nodes: expected a number with the digits 0 to 9",
            ),
            (
                "kind = \"sybil-targeted\"\nnodes = 10\naskers = 9",
                "test.toml: askers is 9, but of 10 nodes at most 8",
            ),
            (
                "kind = \"sybil-targeted\"\nnodes = 30\nhostile = 1000",
                "test.toml: hostile is 1000, but of 30 nodes at most 9 can be",
            ),
            (
                "kind = \"sybil-targeted\"\nhostile = 900\nkeys = 2000",
                "test.toml: hostile times keys is 1800000, and at most 1000000",
            ),
            (
                "kind = \"sybil-random\"\nnodes = 24\naskers = 20\nhostile_share = \"20 %\"",
                "test.toml: hostile_share is 4, but of 24 nodes at most 3",
            ),
            (
                "kind = \"half-dead\"\ndead = \"50 %\"\nown = \"80 %\"",
                "test.toml: own is more than dead",
            ),
            (
                "kind = \"half-dead\"\nnodes = 50\naskers = 51",
                "test.toml: askers is 51, but of 50 nodes at most 50 can be",
            ),
            (
                "kind = \"partition\"\nnodes = 50\npart = \"1 %\"",
                "test.toml: part is 0 of 50 nodes: it is to be from 1 to 49",
            ),
            (
                "kind = \"offline-and-back\"\nnodes = 4\ngone = \"20 %\"",
                "test.toml: gone is 0 of 4 nodes: it is to be from 1 to 3",
            ),
            (
                "kind = \"lookups\"\nquestionable_after = \"10 h\"",
                "test.toml: questionable_after is to be from 1 min to 9 h",
            ),
            (
                "kind = \"lookups\"\nrefresh_after = \"0 s\"",
                "test.toml: refresh_after is to be from 1 min to 24 h",
            ),
            (
                "kind = \"lookups\"\nwire = \"mainline\"\nlater = \"10 %\"",
                "test.toml: later is of the native wire",
            ),
            (
                "kind = \"mixed-versions\"\nnodes = 50\nlater = \"1 %\"",
                "test.toml: later is 0 of 50 nodes: it is to be from 1 to 50",
            ),
            (
                "kind = \"republish\"\nwire = \"mainline\"",
                "test.toml: on Mainline holders hand nothing on",
            ),
        ] {
            let error = error(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn of_a_list_each_value_is_run() {
        let text = "kind = \"lookups\"\nk = [8, 20]\nloss = [\"1 %\"]";
        let mut scenario = Scenario::parse("test", text, "test.toml").expect("a scenario");
        assert_eq!((scenario.count("k"), scenario.share("loss")), (8, 10_000));
        let swept: Vec<_> = scenario.sweeps.iter().map(|(key, it)| (&**key, it.len())).collect();
        assert_eq!(swept, [("k", 2), ("loss", 1)]);
        scenario.set("k", "5").expect("a value");
        assert_eq!((scenario.count("k"), scenario.sweeps.len()), (5, 1));
    }

    /// What a run stores counts for its memory as its nodes do.
    #[test]
    fn values_take_memory() {
        let mut scenario = Scenario::named("republish").expect("of the library");
        scenario.set("values", "1000000").expect("a value");
        let (all, few) = (scenario.bytes_of_values(), Scenario::named("churn"));
        assert!(all > 10_000_000_000, "{all}");
        assert_eq!(few.expect("of the library").bytes_of_values(), 0);
        // There are not so many nodes to keep them.
        scenario.set("nodes", "3").expect("a value");
        assert_eq!(scenario.bytes_of_values(), all / 10);
    }

    /// Who comes beside the nodes takes memory as they do.
    #[test]
    fn those_who_come_count_too() {
        for (name, key, count, more) in [
            ("half-dead", "askers", "500", 500),
            ("republish", "values", "1001", 11),
            ("sybil-targeted", "hostile", "700", 700),
            ("flash-crowd", "newcomers", "300", 300),
        ] {
            let mut scenario = Scenario::named(name).expect("of the library");
            scenario.set("nodes", "1000").expect("a count");
            scenario.set(key, count).expect("a count");
            assert_eq!(scenario.most_nodes(), 1_000 + more, "{name}");
        }
    }

    #[test]
    fn unknown_names_are_told_what_is_like_them() {
        let error = Scenario::named("chrun").expect_err("there is none").to_string();
        assert!(
            error.starts_with("chrun: no scenario has this name; did you mean churn?"),
            "{error}"
        );
    }

    #[test]
    fn a_key_can_be_set() {
        let mut scenario = Scenario::named("steady").expect("in the library");
        scenario.set("alpha", "5").expect("a count");
        assert_eq!(scenario.count("alpha"), 5);
        scenario.set("wire", "mainline").expect("a wire");
        assert_eq!((scenario.count("alpha"), scenario.count("k")), (5, 8));
        let error = scenario.set("alpha", "five").expect_err("no count").to_string();
        assert!(error.starts_with("--set alpha=five: alpha: expected a whole number"), "{error}");
    }
}
