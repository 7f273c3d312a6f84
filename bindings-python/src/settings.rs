//! The settings of a node: every field of the core's `Config`, by name, both ways.
//!
//! What is missing or of a wrong type is said with the field it was looked for in; a number that
//! its type cannot hold, with the limit.

use core::time::Duration;

use kadlet_core::config::{
    AddressIds, Enforce, EstimateConfig, FetchConfig, LimitConfig, LookupConfig, Rate,
    RequestConfig, Shared, StoreConfig, TableConfig, TokenConfig,
};
use kadlet_core::{Capabilities, Config, Network, Role};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::convert::{class, duration, elapsed, expected};
use crate::{Any, invalid};

/// A value that crosses both ways.
pub(crate) trait Setting: Sized {
    fn read(value: &Any<'_>) -> PyResult<Self>;
    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>>;
}

/// Reads the field of a dataclass of this name; an error names the field.
fn field<T: Setting>(of: &Any<'_>, class: &str, name: &str) -> PyResult<T> {
    let missing = |_| expected(&format!("a {class}"), of);
    T::read(&of.getattr(name).map_err(missing)?).map_err(|why| {
        let py = of.py();
        let text = format!("{name}: {}", why.value(py));
        PyErr::from_type(why.get_type(py), text)
    })
}

/// An unsigned number. Python's own ones have no limit, and the error for that is a ValueError.
pub(crate) fn number<'py, T>(value: &Any<'py>, most: T) -> PyResult<T>
where
    T: FromPyObjectOwned<'py, Error = PyErr> + core::fmt::Display,
{
    value.extract::<T>().map_err(|why| match why.is_instance_of::<PyOverflowError>(value.py()) {
        true => invalid(format_args!("a number from 0 to {most} is expected, this is {value}")),
        false => expected("an int", value),
    })
}

/// An argument that is an unsigned number.
pub(crate) struct Number<T>(pub(crate) T);

impl<'py, T: Setting> FromPyObject<'_, 'py> for Number<T> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        T::read(&value).map(Self)
    }
}

/// The name of a value's type, for errors.
pub(crate) fn kind_of(value: &Any<'_>) -> String {
    value.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string())
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn read(value: &Any<'_>) -> PyResult<Self> {
                number(value, Self::MAX)
            }

            fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
                Ok(self.into_pyobject(py)?.into_any())
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, usize);

impl Setting for bool {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        let wrong = |_| PyTypeError::new_err(format!("a bool is expected, this is {value}"));
        value.extract().map_err(wrong)
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        Ok(self.into_pyobject(py)?.to_owned().into_any())
    }
}

impl Setting for Duration {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        let wrong = |_| PyTypeError::new_err(format!("seconds are expected, this is {value}"));
        duration(value.extract().map_err(wrong)?)
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        Ok(elapsed(*self).into_pyobject(py)?.into_any())
    }
}

/// An enum whose values have names.
macro_rules! names {
    ($type:ident, $what:literal, $($variant:ident = $name:literal),*) => {
        impl Setting for $type {
            fn read(value: &Any<'_>) -> PyResult<Self> {
                let wrong = |_| PyTypeError::new_err(format!("{} is a str", $what));
                let name: String = value.extract().map_err(wrong)?;
                match name.as_str() {
                    $($name => Ok(Self::$variant),)*
                    _ => {
                        let known = [$($name),*].join(", ");
                        Err(invalid(format_args!("{} is one of {known}, not {name}", $what)))
                    }
                }
            }

            fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
                let name = match self {
                    $(Self::$variant => $name,)*
                };
                Ok(PyString::new(py, name).into_any())
            }
        }
    };
}

names!(Role, "a role", Auto = "auto", Client = "client", Server = "server");
names!(AddressIds, "a rule", Ignore = "ignore", Prefer = "prefer", Enforce = "enforce");
names!(Enforce, "a scope", Nobody = "nobody", Public = "public", Everybody = "everybody");

impl Setting for Capabilities {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        u32::read(value).map(Self)
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        self.0.write(py)
    }
}

/// A network's name; None is Mainline.
impl Setting for Network {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        let wrong = |_| PyTypeError::new_err("a network is a str, or None for Mainline");
        let name: Option<String> = value.extract().map_err(wrong)?;
        Ok(name.map_or(Self::Mainline, Self::Native))
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        match self {
            Self::Native(name) => Ok(PyString::new(py, name).into_any()),
            _ => Ok(py.None().into_bound(py)),
        }
    }
}

impl Setting for Rate {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        Ok(Self::new(field(value, "Rate", "per_second")?, field(value, "Rate", "burst")?))
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        class(py, "Rate")?.call1((self.per_second, self.burst))
    }
}

/// What need not be.
impl<T: Setting> Setting for Option<T> {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        if value.is_none() { Ok(None) } else { T::read(value).map(Some) }
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        self.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |it| it.write(py))
    }
}

/// What nodes have in common is a dataclass like the others.
impl<T: Setting + Clone> Setting for Shared<T> {
    fn read(value: &Any<'_>) -> PyResult<Self> {
        T::read(value).map(Self::from)
    }

    fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
        T::write(self, py)
    }
}

/// A struct of settings, whose dataclass has its name and its fields.
macro_rules! settings {
    ($type:ident: $($field:ident)*) => {
        impl Setting for $type {
            fn read(value: &Any<'_>) -> PyResult<Self> {
                let mut read = Self::default();
                $(read.$field = field(value, stringify!($type), stringify!($field))?;)*
                Ok(read)
            }

            fn write<'py>(&self, py: Python<'py>) -> PyResult<Any<'py>> {
                let fields = PyDict::new(py);
                $(fields.set_item(stringify!($field), self.$field.write(py)?)?;)*
                class(py, stringify!($type))?.call((), Some(&fields))
            }
        }
    };
}

settings!(TableConfig: k b max_depth neighbourhood replacements candidates stale_after
    doubtful_after backoff max_backoff questionable_after ping_timeout refresh_after
    refresh_spacing per_prefix_in_bucket per_prefix_in_table limit_private);
settings!(LookupConfig: k alpha paths candidates addresses_per_id questions region per_prefix
    spare_local credit beside);
settings!(EstimateConfig: samples enough closest);
settings!(RequestConfig: outstanding transaction_bytes short_initial short_min short_max
    short_quantile short_percent silent_percent silent_from hard_initial hard_min hard_max
    hard_percent repeats samples hard_samples memory offline_after);
settings!(TokenConfig: rotation lifetime bind_id);
settings!(LimitConfig: enforce queries_per_host queries_per_prefix stored_bytes_per_prefix
    signatures signatures_per_prefix candidates_per_prefix candidates_per_namer
    questions_per_host max_sources);
settings!(StoreConfig: value_lifetime provider_lifetime entry_lifetime renew republish lookup copy
    enforce max_records max_bytes max_source_records max_source_bytes max_providers max_entries
    max_changes work_per_call);
settings!(FetchConfig: max_size providers known in_flight_per_provider in_flight pipeline sample
    assumed_rate stall_timeout min_rate hedge_after trials copies failures backoff backoff_max);
settings!(Config: network role address_ids capabilities table lookup estimate requests tokens limits store
    deadline max_operations renew_after max_publications max_proven proof_lifetime amplification
    max_transmits max_events max_pages max_found region path_copies grease_one_in);
