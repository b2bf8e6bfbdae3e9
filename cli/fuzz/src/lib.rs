//! What the fuzz targets share. Each target is a program of its own in `bin/`, and says there what
//! must hold.
//!
//! 1. [`memory`]: the allocator with a limit.
//! 2. [`shapes`]: column types and their values, chosen by an input.
//! 3. [`schemas`]: what must hold of every schema that a host has accepted.
//! 4. [`guest`]: modules that are nearly right.
//! 5. [`disk`]: files of a log in memory.
//! 6. [`archive`]: a real backup in pieces, and archives of any pieces.

pub mod archive;
pub mod disk;
pub mod guest;
pub mod memory;
pub mod schemas;
pub mod shapes;
