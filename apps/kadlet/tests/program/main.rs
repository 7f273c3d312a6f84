//! The program as its users meet it: child processes on loopback that share nothing but sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

extern crate alloc;

mod common;
mod demo;
mod descriptors;
mod durability;
mod fetching;
mod files;
mod folders;
mod http;
mod network;
mod relay;
mod sharing;
mod state;
