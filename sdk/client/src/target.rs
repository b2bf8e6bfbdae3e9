//! Where a node is, and which one it must be.
//!
//! Written as `host:port` (`localhost:4400`, `[::1]:4400`) or as a multiaddress
//! (`/ip4/127.0.0.1/tcp/4400/p2p/12D3…`). An id pins the node: a connection that reaches another
//! one is refused. Names are resolved when connecting, each time.

use std::{fmt, io, net::SocketAddr, str::FromStr};

use interstice_abi::id::NodeId;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// The address of a node, and optionally its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    host: String,
    port: u16,
    pin: Option<PeerId>,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither form.
    #[error(
        "`{text}` is no address: {problem}; write HOST:PORT, such as localhost:4400, or /ip4/127.0.0.1/tcp/4400"
    )]
    Address {
        /// What was given, escaped.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The id is none.
    #[error("`{id}` is no node id ({problem}); `node show` prints a node's id")]
    Id {
        /// What was given, escaped.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Target {
    /// The node at a host's port, whichever it is.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            pin: None,
        }
    }

    /// The same place, but only the node `id`.
    ///
    /// # Errors
    /// [`TargetError::Id`].
    pub fn pinned(mut self, id: &NodeId) -> Result<Self, TargetError> {
        let wrong = |problem: String| TargetError::Id {
            id: id.as_str().escape_debug().to_string(),
            problem,
        };
        self.pin = Some(PeerId::from_str(id.as_str()).map_err(|error| wrong(error.to_string()))?);
        Ok(self)
    }

    /// The host, a name or an IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The node that it must be.
    #[must_use]
    pub fn pin(&self) -> Option<NodeId> {
        self.pin.map(|peer| NodeId::from(peer.to_string()))
    }

    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.pin
    }

    /// The addresses behind the host's name, at least one. IPv4 first: that is where nodes listen.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<Multiaddr>> {
        let mut found: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.dedup();
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(found
            .into_iter()
            .map(|address| Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port())))
            .collect())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let parsed = if text.starts_with('/') {
            from_multiaddr(text)
        } else {
            from_host_and_port(text)
        };
        parsed.map_err(|problem| TargetError::Address {
            text: text.escape_debug().to_string(),
            problem,
        })
    }
}

fn from_host_and_port(text: &str) -> Result<Target, String> {
    let (host, port) = text.rsplit_once(':').ok_or("it has no port")?;
    let port: u16 = port
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or("its port is no number from 1 to 65535")?;
    let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(Some(inner)) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
        Some(_) => return Err("there is no IPv6 address between [ and ]".to_string()),
        None if host.contains(':') => {
            return Err("an IPv6 address stands between [ and ]".to_string());
        }
        None => host_name(host)?,
    };
    Ok(Target::new(host, port))
}

/// A name of a host, or an IPv4 address.
fn host_name(host: &str) -> Result<&str, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(allowed) {
        return Err("its host is neither a name nor an IP address".to_string());
    }
    Ok(host)
}

fn from_multiaddr(text: &str) -> Result<Target, String> {
    let address: Multiaddr = text
        .parse()
        .map_err(|error: libp2p::multiaddr::Error| error.to_string())?;
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.to_string(),
        Some(Protocol::Ip6(ip)) => ip.to_string(),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            host_name(&name)?.to_string()
        }
        _ => return Err("it begins with none of /ip4, /ip6, /dns".to_string()),
    };
    let port = match parts.next() {
        Some(Protocol::Tcp(port)) if port > 0 => port,
        _ => return Err("its second part is not /tcp and a port".to_string()),
    };
    let pin = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return Err("after the port only /p2p and the node's id can follow".to_string()),
    };
    match parts.next() {
        None => Ok(Target { host, port, pin }),
        Some(_) => Err("nothing can follow the node's id".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn check(text: &str, printed: &str, pin: Option<&str>) {
        let target: Target = text.parse().unwrap();
        assert_eq!(target.to_string(), printed);
        assert_eq!(target.pin().map(|id| id.to_string()).as_deref(), pin);
    }

    #[test]
    fn both_ways_of_writing_an_address_are_read() {
        check("localhost:4400", "localhost:4400", None);
        check("127.0.0.1:1", "127.0.0.1:1", None);
        check("[::1]:4400", "[::1]:4400", None);
        check("/ip4/127.0.0.1/tcp/4400", "127.0.0.1:4400", None);
        check("/dns4/node.example/tcp/4400", "node.example:4400", None);
        check(
            &format!("/ip6/::1/tcp/4400/p2p/{ID}"),
            "[::1]:4400",
            Some(ID),
        );
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("", "no port"),
            ("localhost", "no port"),
            ("localhost:0", "from 1 to 65535"),
            ("localhost:99999", "from 1 to 65535"),
            (":4400", "its host"),
            ("::1:4400", "between [ and ]"),
            ("[x]:4400", "no IPv6 address"),
            ("a b:4400", "its host"),
            ("/ip4/127.0.0.1/udp/4400", "/tcp"),
            ("/ip4/127.0.0.1/tcp/4400/ws", "only /p2p"),
            ("/nonsense", "protocol"),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    /// Found by the fuzz target `events`: such names were printed as addresses that nothing reads.
    #[test]
    fn a_name_in_a_multiaddress_follows_the_rule_of_all_names() {
        for text in [
            "/dns/example!org/tcp/4400",
            "/dns4/a:b/tcp/4400",
            "/dns6/a b/tcp/4400",
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(error.contains("its host"), "{text}: {error}");
        }
    }

    #[test]
    fn a_pin_must_be_an_id() {
        let target = Target::new("localhost", 4400);
        assert!(
            target
                .clone()
                .pinned(&NodeId::from("nobody"))
                .unwrap_err()
                .to_string()
                .contains("nobody")
        );
        assert_eq!(
            target.pinned(&NodeId::from(ID)).unwrap().pin(),
            Some(NodeId::from(ID))
        );
    }

    #[tokio::test]
    async fn localhost_has_an_address() {
        let found = Target::new("localhost", 4400).resolve().await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.to_string().ends_with("/tcp/4400")),
            "{found:?}"
        );
    }
}
