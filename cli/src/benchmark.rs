//! Benchmarks: loads that are driven against a node, and what came of them.
//!
//! A number counts committed turns, and the node counts them too: a run in which the two disagree
//! is rejected. Latency is from sending a call to its acknowledgement at the asked level; in an
//! open loop from the moment at which it should have been sent, so waiting is counted. Read it in
//! the order of a run: [`load`] says what to do, [`template`] and [`numbers`] make up arguments,
//! [`drive`] sends and takes answers, [`run`] frames it with the node's counts, [`report`] says
//! what came of it, [`markdown`] for a document. [`fanout`] measures what is not an answer.
//! [`profile`] and [`scenario`] are collections of loads, [`machine`] describes what they ran on,
//! [`limit`] is the floor below all of it.

pub mod drive;
pub mod fanout;
pub mod limit;
pub mod load;
pub mod machine;
pub mod markdown;
pub mod numbers;
pub mod profile;
pub mod report;
pub mod run;
pub mod scenario;
pub mod template;
