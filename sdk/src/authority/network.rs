//! Types of the authority `Network`.

use crate::interstice_type;

/// Something happened to a socket. Closed: modules match it without a wildcard.
#[interstice_type]
#[derive(Debug)]
pub enum NetworkEvent {
    /// A connection that the module asked for stands.
    Connected {
        /// The connection.
        handle: u64,
    },
    /// A connection that the module asked for did not come about. Its last event.
    ConnectFailed {
        /// The connection.
        handle: u64,
        /// Why.
        error: String,
    },
    /// Somebody connected to a listener.
    Accepted {
        /// The listener.
        listener: u64,
        /// The connection.
        handle: u64,
        /// The other side's address.
        peer_ip: String,
        /// The other side's port.
        peer_port: u32,
    },
    /// Bytes came over a connection.
    Received {
        /// The connection.
        handle: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// A datagram came.
    UdpReceived {
        /// The socket.
        handle: u64,
        /// The sender's address.
        peer_ip: String,
        /// The sender's port.
        peer_port: u32,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The other side ended a connection. Its last event.
    Closed {
        /// The connection.
        handle: u64,
    },
    /// A socket failed. Its last event.
    Failed {
        /// The socket.
        handle: u64,
        /// Why.
        error: String,
    },
}
