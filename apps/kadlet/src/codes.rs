//! The words for programs: `error.code` and the `code` of a warning. Both lists are closed and held
//! here alone; docs/cli.md says the same, and a test holds the two against each other.

/// An enum whose every value has a word for programs.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum $name { $($variant,)* }

        impl $name {
            /// All of them, for the test.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// Why a command failed.
    Code {
        NotFound => "not_found",
        Refused => "refused",
        StaleSequence => "stale_sequence",
        CasMismatch => "cas_mismatch",
        NoProviderLeft => "no_provider_left",
        Interrupted => "interrupted",
        NotAsExpected => "not_as_expected",
        Overloaded => "overloaded",
        Usage => "usage",
        ValueTooLong => "value_too_long",
        NoWords => "no_words",
        KeyFile => "key_file",
        AddressInUse => "address_in_use",
        AddressUnavailable => "address_unavailable",
        AddressForbidden => "address_forbidden",
        NoDescriptors => "no_descriptors",
        DataInUse => "data_in_use",
        DataNewer => "data_newer",
        DataOtherNetwork => "data_other_network",
        TargetExists => "target_exists",
        NothingShared => "nothing_shared",
        TlsFiles => "tls_files",
        WebFolder => "web_folder",
        Io => "io",
        NoContacts => "no_contacts",
        BootstrapFailed => "bootstrap_failed",
        NoAnswer => "no_answer",
        Timeout => "timeout",
        NoNode => "no_node",
    }
}

impl Code {
    pub(crate) const fn exit_status(self) -> u8 {
        match self {
            // Asked, and not done.
            Self::NotFound
            | Self::Refused
            | Self::StaleSequence
            | Self::CasMismatch
            | Self::NoProviderLeft
            | Self::Interrupted
            | Self::NotAsExpected
            | Self::Overloaded => 1,
            // Nobody to ask.
            Self::NoContacts
            | Self::BootstrapFailed
            | Self::NoAnswer
            | Self::Timeout
            | Self::NoNode => 3,
            // Cannot be started as asked.
            _ => 2,
        }
    }
}

words! {
    /// What is wrong although the command goes on.
    Warning {
        BootstrapFailed => "bootstrap_failed",
        NoAnswer => "no_answer",
        DataDamaged => "data_damaged",
        DataUnwritable => "data_unwritable",
        DataWritten => "data_written",
        NoDescriptors => "no_descriptors",
        Io => "io",
        NotShared => "not_shared",
        NotAnnounced => "not_announced",
        NotPublished => "not_published",
        Withdrawn => "withdrawn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    const DOCS: &str = include_str!("../../../docs/cli.md");

    /// The rows of the table below a heading, as cells.
    fn table(heading: &str) -> Vec<Vec<&'static str>> {
        let (_, section) = DOCS.split_once(heading).expect("the section");
        let rows = section.lines().skip_while(|line| !line.starts_with("| `"));
        rows.take_while(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect()
    }

    #[test]
    fn errors_are_those_of_the_documentation() {
        let documented: BTreeSet<_> = table("\n## `error.code`\n")
            .into_iter()
            .map(|row| (row[1], row[2].parse::<u8>().expect("an exit status")))
            .collect();
        let ours = Code::ALL.iter().map(|code| (code.name(), code.exit_status())).collect();
        assert_eq!(documented, ours);
    }

    #[test]
    fn warnings_are_those_of_the_documentation() {
        let documented: BTreeSet<_> =
            table("\n## `warning.code`\n").into_iter().map(|row| row[1]).collect();
        assert_eq!(documented, Warning::ALL.iter().map(|code| code.name()).collect());
    }
}
