//! What the ledger keeps: tables of every kind, with every kind of index.

use interstice_sdk::*;

/// One acknowledged call of a client; the module `vault` has a slip for it.
#[table(public)]
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Never given twice.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// Chosen by the client, once.
    #[index(hash, unique)]
    pub token: u64,
    /// Who has made it.
    #[index(btree)]
    pub client: u64,
    /// Never given twice either.
    #[index(btree, unique, auto_inc)]
    pub number: u32,
    /// Same as the slip's.
    pub amount: u64,
    /// How often it was revised.
    pub changes: u64,
}

/// Something large that belongs to an entry.
#[table(stateful)]
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The entry's token.
    #[primary_key]
    pub token: u64,
    /// As many bytes as the token says.
    pub bytes: Vec<u8>,
}

/// An entry that was made since the last start, and the row 0 of `load`.
#[table(ephemeral)]
#[derive(Debug, PartialEq)]
pub struct Recent {
    /// The entry's token.
    #[primary_key]
    pub token: u64,
}

/// One run of `load`.
#[table]
#[derive(Debug, PartialEq)]
pub struct Start {
    /// Never given twice.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// Its turn.
    pub seq: u64,
}

/// One timer that was set.
#[table]
#[derive(Debug, PartialEq)]
pub struct Alarm {
    /// Chosen by the client, once.
    #[primary_key]
    pub token: u64,
}

/// One timer that has fired.
#[table]
#[derive(Debug, PartialEq)]
pub struct Rung {
    /// Never given twice.
    #[primary_key(auto_inc)]
    pub id: u64,
}

/// A chain of timers, each set by the one before.
#[table]
#[derive(Debug, PartialEq)]
pub struct Beat {
    /// 0: the chain of `init`; 1: the chain of `load`.
    #[primary_key]
    pub chain: u64,
    /// How many have fired.
    pub count: u64,
    /// When the last one fired or was set by `load`, in milliseconds.
    pub last_ms: u64,
    /// How many came before they were due: there are two chains where one should be.
    pub early: u64,
}
