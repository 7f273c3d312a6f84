//! The numbers of a comparison, by name: what JSON lines carry and what tests hold fast.

use super::figures::Tally;
use super::script::Group;
use super::{Row, System};
use crate::experiment::figures::Figure;
use crate::page::{json_number, json_object, json_string};
use crate::quality::quantile;

/// The names of what is measured of one group of queries.
macro_rules! names {
    ($group:literal) => {
        [
            concat!("success_", $group),
            concat!("messages_", $group),
            concat!("bytes_", $group),
            concat!("first_p50_", $group),
            concat!("first_p95_", $group),
            concat!("last_p50_", $group),
            concat!("last_p95_", $group),
            concat!("stale_", $group),
        ]
    };
}

const NAMES: [(Group, [&str; 8]); 5] = [
    (Group::RareKey, names!("rare_key")),
    (Group::RareWords, names!("rare_words")),
    (Group::PopularKey, names!("popular_key")),
    (Group::PopularWords, names!("popular_words")),
    (Group::Mixed, names!("mixed")),
];

impl Row {
    /// All numbers, in a fixed order. What was not measured is not a number.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |name, unit, value, of| figures.push(Figure { name, unit, value, of });
        for (group, names) in NAMES {
            let tally = self.steady.of(group);
            let (asked, found) = (Some(tally.asked), Some(tally.first.len() as u64));
            let values = [
                ("share", tally.success(), asked),
                ("messages", tally.messages(), asked),
                ("bytes", tally.bytes(), asked),
                ("ms", quantile(&tally.first, 500), found),
                ("ms", quantile(&tally.first, 950), found),
                ("ms", quantile(&tally.last, 500), found),
                ("ms", quantile(&tally.last, 950), found),
                ("share", tally.stale_share(), Some(tally.results)),
            ];
            for (name, (unit, value, of)) in names.into_iter().zip(values) {
                add(name, unit, value, of);
            }
        }
        let mixed = self.steady.of(Group::Mixed);
        add("reached_mixed", "nodes", mixed.reach(), Some(mixed.asked));
        add("duplicates_mixed", "messages", mixed.wasted(), Some(mixed.asked));
        let nodes = Some(u64::from(self.nodes));
        add("upkeep_messages", "messages/node/h", self.upkeep.messages, nodes);
        add("upkeep_bytes", "bytes/node/h", self.upkeep.bytes, nodes);
        add("total_bytes", "bytes/node/h", self.total_bytes(), nodes);
        add("busiest_bytes", "bytes/h", self.busiest_bytes(), None);
        add("state_mean", "bytes", self.upkeep.state, nodes);
        add("state_most", "bytes", self.upkeep.state_most, None);
        let misfortunes = [
            ("success_none_lost", "success_victim_none_lost", &self.unharmed),
            ("success_one_lost", "success_victim_one_lost", &self.one),
            ("success_random_lost", "success_victim_random_lost", &self.random),
            ("success_best_lost", "success_victim_best_lost", &self.best),
        ];
        for (all, victim, answers) in misfortunes {
            for (name, group) in [(all, Group::Aftermath), (victim, Group::Victim)] {
                let Tally { asked, .. } = answers.of(group);
                add(name, "share", answers.of(group).success(), Some(asked));
            }
        }
        if let Some(busy) = self.server_busy {
            add("server_busy", "share", busy, None);
        }
        figures
    }

    /// Bytes sent per node and hour if everybody asks once an hour.
    #[must_use]
    pub fn total_bytes(&self) -> f64 {
        self.upkeep.bytes + self.steady.of(Group::Mixed).bytes()
    }

    /// Bytes in and out in an hour of the machine with most upkeep, and a mean share of the queries if
    /// everybody asks once. All that is asked goes through Napster's server; elsewhere it is spread
    /// over all, and each byte is sent by one and received by another. Who bears most of the queries
    /// bears more than this.
    #[must_use]
    pub fn busiest_bytes(&self) -> f64 {
        let query = self.steady.of(Group::Mixed).bytes();
        let share = match self.system {
            System::Napster => f64::from(self.nodes),
            System::Gnutella | System::Kademlia => 2.0,
        };
        self.upkeep.busiest + share * query
    }

    /// One JSON object in one line, without its end.
    #[must_use]
    pub fn json(&self, seed: u64) -> String {
        let mut members = vec![
            ("scenario".to_owned(), json_string("compare")),
            ("seed".to_owned(), seed.to_string()),
            ("system".to_owned(), json_string(self.system.name())),
            ("nodes".to_owned(), self.nodes.to_string()),
        ];
        for Figure { name, value, of, .. } in self.figures() {
            members.push((name.to_owned(), json_number(value)));
            members.extend(of.map(|of| (format!("{name}_of"), of.to_string())));
        }
        json_object(members)
    }
}
