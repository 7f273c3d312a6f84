//! The scenarios that come with the simulator.

macro_rules! library {
    ($($name:literal)*) => {
        /// Names and texts.
        pub const LIBRARY: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*];
    };
}

library!(
    "steady" "churn" "half-dead" "lossy" "partition" "flash-crowd" "offline-and-back" "nat"
    "republish" "sybil-random" "sybil-targeted" "poison" "mixed-versions" "flood"
);
