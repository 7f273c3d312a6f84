//! The settings of a node: every field of the core's `Config`, by name, both ways.
//!
//! What is left out keeps its value; a name that is no setting is an error. One walk over all fields
//! serves reading and writing: code for each of the two would be ten times as large.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use js_sys::{Object, Reflect};
use kadlet_core::config::{
    AddressIds, Enforce, EstimateConfig, FetchConfig, LimitConfig, LookupConfig, Rate,
    RequestConfig, StoreConfig, TableConfig, TokenConfig,
};
use kadlet_core::{Capabilities, Config, Network, Role};
use wasm_bindgen::{JsCast as _, JsError, JsValue};

use crate::Result;
use crate::convert::{self, duration, elapsed, invalid};

/// A field, by its type.
pub(crate) enum Slot<'a> {
    U8(&'a mut u8),
    U16(&'a mut u16),
    U32(&'a mut u32),
    U64(&'a mut u64),
    Usize(&'a mut usize),
    Bool(&'a mut bool),
    Time(&'a mut Duration),
    Bits(&'a mut Capabilities),
    Network(&'a mut Network),
    Role(&'a mut Role),
    AddressIds(&'a mut AddressIds),
    Enforce(&'a mut Enforce),
    MaybeRate(&'a mut Option<Rate>),
    Fields(&'a mut dyn Fields),
}

/// Something with a type for [`Slot`].
trait Slotted {
    fn slot(&mut self) -> Slot<'_>;
}

macro_rules! slots {
    ($($type:ty: $variant:ident)*) => {$(
        impl Slotted for $type {
            fn slot(&mut self) -> Slot<'_> {
                Slot::$variant(self)
            }
        }
    )*};
}

slots!(u8: U8 u16: U16 u32: U32 u64: U64 usize: Usize bool: Bool Duration: Time Capabilities: Bits
    Network: Network Role: Role AddressIds: AddressIds Enforce: Enforce Option<Rate>: MaybeRate);

/// A struct of settings.
pub(crate) trait Fields {
    /// Calls with each field.
    fn each(&mut self, with: &mut dyn FnMut(&'static str, Slot<'_>));
}

macro_rules! fields {
    ($type:ident: $($field:ident)*) => {
        impl Fields for $type {
            fn each(&mut self, with: &mut dyn FnMut(&'static str, Slot<'_>)) {
                $(with(stringify!($field), self.$field.slot());)*
            }
        }

        impl Slotted for $type {
            fn slot(&mut self) -> Slot<'_> {
                Slot::Fields(self)
            }
        }
    };
}

fields!(Rate: per_second burst);
fields!(TableConfig: k b max_depth neighbourhood replacements candidates stale_after
    doubtful_after backoff max_backoff questionable_after ping_timeout refresh_after
    refresh_spacing per_prefix_in_bucket per_prefix_in_table limit_private);
fields!(LookupConfig: k alpha paths candidates addresses_per_id questions region per_prefix
    spare_local credit beside);
fields!(EstimateConfig: samples enough closest);
fields!(RequestConfig: outstanding transaction_bytes short_initial short_min short_max
    short_quantile short_percent silent_percent silent_from hard_initial hard_min hard_max
    hard_percent repeats samples hard_samples memory offline_after);
fields!(TokenConfig: rotation lifetime bind_id);
fields!(LimitConfig: enforce queries_per_host queries_per_prefix stored_bytes_per_prefix
    signatures signatures_per_prefix candidates_per_prefix candidates_per_namer
    questions_per_host max_sources);
fields!(StoreConfig: value_lifetime provider_lifetime entry_lifetime renew republish lookup copy
    enforce max_records max_bytes max_source_records max_source_bytes max_providers max_entries
    max_changes work_per_call);
fields!(FetchConfig: max_size providers known in_flight_per_provider in_flight pipeline sample
    assumed_rate stall_timeout min_rate hedge_after trials copies failures backoff backoff_max);
fields!(Config: network role address_ids capabilities table lookup estimate requests tokens limits
    store deadline max_operations renew_after max_publications max_proven proof_lifetime
    amplification max_transmits max_events max_pages max_found region path_copies grease_one_in);

const ROLES: [(Role, &str); 3] =
    [(Role::Auto, "auto"), (Role::Client, "client"), (Role::Server, "server")];
const ADDRESS_IDS: [(AddressIds, &str); 3] = [
    (AddressIds::Ignore, "ignore"),
    (AddressIds::Prefer, "prefer"),
    (AddressIds::Enforce, "enforce"),
];
const ENFORCE: [(Enforce, &str); 3] =
    [(Enforce::Nobody, "nobody"), (Enforce::Public, "public"), (Enforce::Everybody, "everybody")];

fn named<T: Copy>(known: &[(T, &str)], value: &JsValue) -> Option<T> {
    let name = value.as_string()?;
    known.iter().find(|(_, known)| *known == name).map(|(it, _)| *it)
}

fn name_of<T: PartialEq>(known: &[(T, &'static str)], value: &T) -> JsValue {
    known.iter().find(|(it, _)| it == value).map_or(JsValue::UNDEFINED, |(_, name)| (*name).into())
}

/// `per_second` is `perSecond` there.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if core::mem::take(&mut upper) => camel.push(c.to_ascii_uppercase()),
            c => camel.push(c),
        }
    }
    camel
}

/// A whole number up to `most`.
fn whole(value: &JsValue, most: u64) -> Option<u64> {
    convert::whole(value.as_f64()?).filter(|number| *number <= most)
}

fn read(slot: Slot<'_>, value: &JsValue) -> Option<Result<()>> {
    match slot {
        Slot::U8(it) => *it = whole(value, u8::MAX.into())? as u8,
        Slot::U16(it) => *it = whole(value, u16::MAX.into())? as u16,
        Slot::U32(it) => *it = whole(value, u32::MAX.into())? as u32,
        Slot::U64(it) => *it = whole(value, u64::MAX)?,
        Slot::Usize(it) => *it = whole(value, u32::MAX.into())? as usize,
        Slot::Bool(it) => *it = value.as_bool()?,
        Slot::Bits(it) => it.0 = whole(value, u32::MAX.into())? as u32,
        Slot::Time(it) => match duration(value.as_f64()?) {
            Ok(time) => *it = time,
            Err(why) => return Some(Err(why)),
        },
        #[cfg(feature = "mainline")]
        Slot::Network(it) if value.is_null() => *it = Network::Mainline,
        Slot::Network(it) => *it = Network::Native(value.as_string()?),
        Slot::Role(it) => *it = named(&ROLES, value)?,
        Slot::AddressIds(it) => *it = named(&ADDRESS_IDS, value)?,
        Slot::Enforce(it) => *it = named(&ENFORCE, value)?,
        Slot::MaybeRate(it) if value.is_null() => *it = None,
        Slot::MaybeRate(it) => return Some(fill(it.get_or_insert(Rate::new(0, 0)), value)),
        Slot::Fields(it) => return Some(fill(it, value)),
    }
    Some(Ok(()))
}

/// Takes over the settings that are there.
pub(crate) fn fill(fields: &mut dyn Fields, from: &JsValue) -> Result<()> {
    if from.is_undefined() {
        return Ok(());
    }
    let object: &Object = from.dyn_ref().ok_or_else(|| invalid("settings are an object"))?;
    let (mut known, mut taken) = (Vec::new(), Ok(()));
    fields.each(&mut |name, slot| {
        let name = camel(name);
        let value = Reflect::get(object, &name.as_str().into()).unwrap_or(JsValue::UNDEFINED);
        if taken.is_ok() && !value.is_undefined() {
            let wrong = || Err(invalid(["the setting ", &name, " has no such value"].concat()));
            taken = read(slot, &value).unwrap_or_else(wrong);
        }
        known.push(name);
    });
    taken?;
    for name in Object::keys(object).iter().filter_map(|name| name.as_string()) {
        if !known.contains(&name) {
            return Err(JsError::new(&["there is no setting ", &name].concat()));
        }
    }
    Ok(())
}

fn write(slot: Slot<'_>) -> JsValue {
    match slot {
        Slot::U8(it) => (*it).into(),
        Slot::U16(it) => (*it).into(),
        Slot::U32(it) => (*it).into(),
        Slot::U64(it) => (*it as f64).into(),
        Slot::Usize(it) => (*it as f64).into(),
        Slot::Bool(it) => (*it).into(),
        Slot::Bits(it) => it.0.into(),
        Slot::Time(it) => elapsed(*it).into(),
        Slot::Network(Network::Native(name)) => name.as_str().into(),
        #[allow(unreachable_patterns, reason = "without Mainline there is no other")]
        Slot::Network(_) => JsValue::NULL,
        Slot::Role(it) => name_of(&ROLES, it),
        Slot::AddressIds(it) => name_of(&ADDRESS_IDS, it),
        Slot::Enforce(it) => name_of(&ENFORCE, it),
        Slot::MaybeRate(it) => it.as_mut().map_or(JsValue::NULL, |it| show(it)),
        Slot::Fields(it) => show(it),
    }
}

/// All settings.
pub(crate) fn show(fields: &mut dyn Fields) -> JsValue {
    let object = Object::new();
    // Setting a field of a fresh object does not fail.
    fields.each(&mut |name, slot| {
        let _ = Reflect::set(&object, &camel(name).into(), &write(slot));
    });
    object.into()
}

/// The settings of a node: the defaults of its network, and what is said otherwise.
pub(crate) fn config(value: &JsValue) -> Result<Config> {
    let mut config = Config::default();
    #[cfg(feature = "mainline")]
    if Reflect::get(value, &"network".into()).is_ok_and(|network| network.is_null()) {
        config = Config::mainline();
    }
    fill(&mut config, value)?;
    Ok(config)
}
