//! What others want kept: tokens, and the checks a record passes before the store sees it.

use core::time::Duration;

use super::Node;
use super::queries::Asker;
use super::results::read_signed;
use crate::id::Id;
use crate::limit::Cost;
use crate::record::{Field, Form, InvalidRecord, Item, SearchEntry, Value, Verified};
use crate::store::{Origin, Refused};
use crate::time::Instant;
use crate::wire::{ErrorCode, Failure, Hit, Item as WireItem, Query};

impl Node {
    pub(super) fn token_for(&mut self, now: Instant, asker: Asker, key: Id) -> Option<[u8; 8]> {
        let gets_one = asker.proven && self.counts(asker.id, asker.path.remote);
        let id = self.token_id(asker);
        gets_one.then(|| *self.tokens.issue(now, asker.path.remote, id, key).as_bytes())
    }

    /// The id a token is for. Some programs of Mainline draw another id for every store.
    const fn token_id(&self, asker: Asker) -> Id {
        if self.config.tokens.bind_id { asker.id } else { Id::ZERO }
    }

    pub(super) fn check_token(
        &mut self,
        now: Instant,
        asker: Asker,
        query: &Query<'_>,
        token: &[u8],
    ) -> Result<Id, Failure<'static>> {
        let key = query.target.ok_or(Failure::new(ErrorCode::Protocol))?;
        self.check_token_for(now, asker, key, token).map(|()| key)
    }

    fn check_token_for(
        &mut self,
        now: Instant,
        asker: Asker,
        key: Id,
        token: &[u8],
    ) -> Result<(), Failure<'static>> {
        if self.tokens.check(now, token, asker.path.remote, self.token_id(asker), key) {
            Ok(())
        } else {
            Err(Failure::new(ErrorCode::BadToken))
        }
    }

    /// What costs least is looked at first, and in the order of BEP 44: sizes, token, key, and then
    /// what the store would refuse and the signature, or the other way round where the wire says so.
    /// Nobody without a token learns what we hold.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message, looked at in turn")]
    pub(super) fn take_value(
        &mut self,
        now: Instant,
        asker: Asker,
        query: &Query<'_>,
        token: &[u8],
        item: &WireItem<'_>,
        cas: Option<u64>,
        age: u32,
        lifetime: Option<u32>,
    ) -> Result<(), Failure<'static>> {
        let form = self.wire.form();
        let item = match item {
            WireItem::Immutable(bytes) => Value::of(form, *bytes).map(Item::Immutable),
            WireItem::Signed(signed) => read_signed(form, signed, signed.salt).map(Item::Signed),
        }
        .map_err(over_limit)?;
        // Mainline's puts need not name the key: it follows from what is put.
        let implied = || (form != Form::Native).then(|| item.key());
        let key = query.target.or_else(implied).ok_or(Failure::new(ErrorCode::Protocol))?;
        self.check_token_for(now, asker, key, token)?;
        if item.key() != key {
            return Err(Failure::new(ErrorCode::Protocol));
        }
        let age = Duration::from_secs(age.into());
        let from = asker.path.remote;
        let stored = match (item, lifetime) {
            (Item::Immutable(value), Some(secs)) => {
                let lifetime = Duration::from_secs(secs.into());
                self.store.put_copy(now, key, value, lifetime, from)
            }
            (Item::Immutable(value), None) => {
                self.store.put_value(now, key, value, Origin { from, age })
            }
            // A copy on a lookup's path would outlive the truth of what its owner may replace.
            (Item::Signed(_), Some(_)) => return Err(Failure::new(ErrorCode::Protocol)),
            (Item::Signed(signed), None) => {
                // The same question once more, whose answer was lost, is answered like the first.
                let repeated =
                    self.wire.repeats() && self.store.recognise(now, key, &signed).is_some();
                let cas = cas.filter(|_| !repeated);
                let judged = self.store.judge_signed(now, key, &signed, cas).map_err(refusal);
                if !self.wire.judges_signatures_first() {
                    // What the store would refuse anyway gets no signature check.
                    judged?;
                }
                let verified = match self.store.recognise(now, key, &signed) {
                    Some(verified) => verified,
                    None if self.limits.allow(now, Cost::Signature, from) => {
                        Verified::check(signed).ok_or(Failure::new(ErrorCode::BadSignature))?
                    }
                    None => return Err(Failure::new(ErrorCode::NoRoom)),
                };
                self.store.put_signed(now, key, verified, cas, Origin { from, age })
            }
        };
        stored.map(|_| ()).map_err(refusal)
    }

    pub(super) fn take_entry(
        &mut self,
        now: Instant,
        asker: Asker,
        query: &Query<'_>,
        token: &[u8],
        entry: &Hit<'_>,
    ) -> Result<(), Failure<'static>> {
        let key = self.check_token(now, asker, query, token)?;
        let entry = SearchEntry::with_extra(entry.name, entry.size, *entry.content, entry.extra)
            .map_err(|_| Failure::new(ErrorCode::Protocol))?;
        self.store.put_entry(now, key, entry, asker.path.remote).map(|_| ()).map_err(refusal)
    }
}

/// How it is said that a value or its salt is too large, or is no value.
const fn over_limit(invalid: InvalidRecord) -> Failure<'static> {
    Failure::new(match invalid {
        InvalidRecord::TooLong { field: Field::Salt, .. } => ErrorCode::SaltTooLarge,
        InvalidRecord::TooLong { .. } => ErrorCode::ValueTooLarge,
        _ => ErrorCode::Protocol,
    })
}

/// How the store's refusal is said on the wire.
pub(super) fn refusal(refused: Refused) -> Failure<'static> {
    match refused {
        Refused::StaleSequence { current } => {
            Failure { seq: Some(current), ..Failure::new(ErrorCode::StaleSequence) }
        }
        Refused::CasMismatch { current } => {
            Failure { seq: Some(current), ..Failure::new(ErrorCode::CasMismatch) }
        }
        Refused::Expired | Refused::ForeignAddress | Refused::ForeignKey => {
            Failure::new(ErrorCode::Protocol)
        }
        _ => Failure::new(ErrorCode::NoRoom),
    }
}
