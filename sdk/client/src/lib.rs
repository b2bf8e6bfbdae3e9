//! A node of Interstice as seen from outside: connect, call, query, watch, administer.
//!
//! ```no_run
//! use interstice_client::{Client, ConnectOptions, Identity, Target};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let target: Target = "localhost:4400".parse()?;
//! let client = Client::connect(&Identity::generate(), &target, &ConnectOptions::default()).await?;
//! let arguments = postcard::to_allocvec(&"Bob")?;
//! let called = client.call("hello", "hello", arguments, Default::default()).await?;
//! println!("turn {}", called.seq);
//! # Ok(()) }
//! ```
//!
//! A [`Client`] is one encrypted connection with one long-lived stream on it. Clones share it, and
//! any number of requests can be under way at a time: all that are made while a write is going on
//! travel with the next one. A client whose connection was lost stays lost; connecting anew is its
//! user's decision, because only the user knows whether a call whose outcome is unknown may be
//! made twice.
//!
//! A program that encodes and decodes by a module's schema says so: [`Client::call_by`],
//! [`Client::query_by`], [`Client::rows_as`] and [`Client::follow`] never let bytes of one
//! version of the module be read by another, and go on by themselves after an upgrade where that
//! is possible.
//!
//! Read it in the order in which a request travels: [`Target`] and [`Identity`], connecting, the
//! methods of [`Client`], the link that matches answers to requests, [`outbox`], [`parts`],
//! [`frame`], [`muxer`], [`streams`]. The last five serve a node's end as well. It runs on any
//! tokio runtime, on one thread or on many. Who asks hundreds of thousands of times a second uses
//! a [`Pipeline`].

mod small_file;

mod identity;
mod target;

mod error;

mod backup;
mod client;
mod follow;
mod history;
mod refit;
mod rows;
mod subscription;
mod timers;
mod turns;
mod typed;
mod upload;

mod answer;
mod connect;
mod link;
mod pipeline;

pub mod outbox;

pub mod frame;

pub mod parts;

pub mod muxer;

pub mod streams;

pub use backup::Backup;
pub use client::Client;
pub use connect::ConnectOptions;
pub use error::Error;
pub use follow::Followed;
pub use history::RowsAt;
pub use identity::{Identity, IdentityError};
pub use pipeline::Pipeline;
pub use small_file::read_small_file;
pub use subscription::{Logs, Subscription, Watch};
pub use target::{Target, TargetError};
pub use upload::Progress;
