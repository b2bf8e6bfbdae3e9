//! Addresses and ids of nodes, as people type them. What an address looks like is the client
//! library's business.

use interstice_abi::id::NodeId;
use interstice_client::Target as Address;

/// Whether `word` looks like an address rather than a name.
#[must_use]
pub fn is_address(word: &str) -> bool {
    word.starts_with('/') || word.contains(':')
}

/// Whether both are the same port of the same machine, as far as their spelling tells.
#[must_use]
pub fn same_place(one: &Address, other: &Address) -> bool {
    let host = |address: &Address| match address.host() {
        "localhost" => "127.0.0.1".to_string(),
        host => host.to_lowercase(),
    };
    one.port() == other.port() && host(one) == host(other)
}

/// Checks that `id` is a node's id, in its one spelling.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_id(id: &str) -> Result<(), String> {
    let node = NodeId::from(id);
    let address = Address::new("localhost", 1)
        .pinned(&node)
        .map_err(|error| error.to_string())?;
    if address.pin() == Some(node) {
        Ok(())
    } else {
        Err(format!(
            "`{}` is another spelling of a node's id; `node show` prints the one to use",
            id.escape_debug()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        assert_eq!(
            check_id("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"),
            Ok(())
        );
        for wrong in ["", "me", "12D3KooW"] {
            assert!(check_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_are_compared_not_ids() {
        let parse = |text: &str| text.parse::<Address>().expect(text);
        assert!(same_place(
            &parse("localhost:1"),
            &parse("/ip4/127.0.0.1/tcp/1")
        ));
        assert!(!same_place(&parse("localhost:1"), &parse("localhost:2")));
        assert!(is_address("a:1") && is_address("/ip4/1.2.3.4/tcp/1") && !is_address("garden"));
    }
}
