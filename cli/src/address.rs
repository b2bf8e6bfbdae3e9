//! Addresses of nodes as people type them: `host:port`, or a multiaddress with or without the node's id.

use std::{fmt, str::FromStr};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Where a node is reached, and perhaps which one it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    transport: Multiaddr,
    host: String,
    port: u16,
    id: Option<String>,
}

impl Address {
    /// The multiaddress without the node's id.
    #[must_use]
    pub fn multiaddr(&self) -> String {
        self.transport.to_string()
    }

    /// The node's id, where the address ends in one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `host:port`.
    #[must_use]
    pub fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_and_port())
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what an address looks like.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') { from_multiaddr(text) } else { from_host_and_port(text) }
    }
}

/// Whether `word` looks like an address rather than a name.
#[must_use]
pub fn is_address(word: &str) -> bool {
    word.starts_with('/') || word.contains(':')
}

/// Checks that `id` is a node's id.
///
/// # Errors
/// A sentence that says what one looks like.
pub fn check_id(id: &str) -> Result<(), String> {
    match id.parse::<PeerId>() {
        Ok(parsed) if parsed.to_string() == id => Ok(()),
        _ => Err(format!(
            "`{}` is not a node id; ids look like 12D3KooW… and `node show` prints them",
            id.escape_debug()
        )),
    }
}

fn from_host_and_port(text: &str) -> Result<Address, String> {
    let wrong = || format!("`{}` is not an address; write HOST:PORT, such as 127.0.0.1:4400, or a multiaddress", text.escape_debug());
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name_is_fine = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let protocol = match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => Protocol::Ip4(ip),
        Ok(std::net::IpAddr::V6(ip)) => Protocol::Ip6(ip),
        // A name's address is looked up when it is dialled; most machines' names have one of the fourth version.
        Err(_) if host == "localhost" => Protocol::Ip4(std::net::Ipv4Addr::LOCALHOST),
        Err(_) if name_is_fine => Protocol::Dns(host.into()),
        Err(_) => return Err(wrong()),
    };
    Ok(Address {
        transport: Multiaddr::empty().with(protocol).with(Protocol::Tcp(port)),
        host: host.to_string(),
        port,
        id: None,
    })
}

fn from_multiaddr(text: &str) -> Result<Address, String> {
    let wrong = |why: &str| format!("`{}` is not an address of a node: {why}", text.escape_debug());
    let whole: Multiaddr = text.parse().map_err(|error| wrong(&format!("{error}")))?;
    let (mut host, mut port, mut id) = (None, None, None);
    let mut transport = Multiaddr::empty();
    for part in &whole {
        match &part {
            Protocol::Ip4(ip) => host = Some(ip.to_string()),
            Protocol::Ip6(ip) => host = Some(ip.to_string()),
            Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => host = Some(name.to_string()),
            Protocol::Tcp(number) => port = Some(*number),
            Protocol::P2p(peer) => id = Some(peer.to_string()),
            other => return Err(wrong(&format!("`{}` is not spoken here; write /ip4/…/tcp/…", other.tag()))),
        }
        if !matches!(part, Protocol::P2p(_)) {
            transport.push(part);
        }
    }
    let (host, port) = host.zip(port).ok_or_else(|| wrong("write /ip4/127.0.0.1/tcp/4400, with or without /p2p/ID"))?;
    Ok(Address { transport, host, port, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for (text, multiaddr, short) in [
            ("127.0.0.1:4400", "/ip4/127.0.0.1/tcp/4400", "127.0.0.1:4400"),
            ("localhost:1", "/ip4/127.0.0.1/tcp/1", "localhost:1"),
            ("[::1]:4400", "/ip6/::1/tcp/4400", "[::1]:4400"),
            ("a.example.org:80", "/dns/a.example.org/tcp/80", "a.example.org:80"),
            ("/ip4/10.0.0.1/tcp/7", "/ip4/10.0.0.1/tcp/7", "10.0.0.1:7"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.multiaddr(), multiaddr);
            assert_eq!(address.host_and_port(), short);
            assert_eq!(address.id(), None);
        }
        let id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let address: Address = format!("/ip4/10.0.0.1/tcp/7/p2p/{id}").parse().expect("is read");
        assert_eq!((address.id(), address.multiaddr().as_str()), (Some(id), "/ip4/10.0.0.1/tcp/7"));
        assert_eq!(check_id(id), Ok(()));
    }

    #[test]
    fn what_is_no_address_says_what_one_looks_like() {
        for text in ["", "a", "a:", ":1", "a:0", "a:70000", "a b:1", "/ip4/1.2.3.4", "/ip4/1.2.3.4/udp/1", "/x"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!(check_id("me").is_err());
    }
}
