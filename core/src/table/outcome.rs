//! What the table answers to what it is told.

use crate::contact::Contact;

/// What became of a contact that answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Admission {
    /// It is in the table now, and was not before.
    Inserted,
    /// It was in the table, and is the most recently seen of its bucket now.
    Updated,
    /// Its bucket is full of live contacts: it waits for one of them to fail.
    Replacement,
    /// The table does not want it.
    Refused(Refusal),
}

/// Why a contact that answered is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// It bears our own id (mistake 6).
    OwnId,
    /// A live contact has this id at another address.
    IdTaken,
    /// A live contact has this address under another id.
    AddressTaken,
    /// As many of its address prefix as allowed are in the bucket.
    PrefixInBucket,
    /// As many of its address prefix as allowed are in the table.
    PrefixInTable,
    /// Its bucket is full and keeps no replacements.
    Full,
}

/// What became of a node that spoke to us unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Heard {
    /// A live contact: it is the most recently seen of its bucket now.
    Touched,
    /// There is a place for it: `next_ping` will offer it.
    Candidate,
    /// Nothing changed.
    Ignored,
}

/// What became of a contact that did not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Nothing counted: not in the table at this address, the table is frozen, or the contact is
    /// backing off, in which case this question was on its way with the one that failed before.
    Ignored,
    /// It has failed so many times in a row.
    Counted(u8),
    /// It is stale, is not handed on, and keeps its place for want of a replacement.
    Stale,
    /// It was stale and has given way to this contact.
    Replaced(Contact),
    /// It was only a replacement and is gone.
    Dropped,
}
