//! The UDP side of all calls: one socket per local address, shared by every call.
//!
//! A datagram finds its call by the ICE user name in the browser's first check, and by
//! its source address from then on. One set of sockets means one port to publish.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::util::lock;

/// Addresses that a browser would have to try; more only delay the connection.
const MAX_ADDRESSES: usize = 8;
const MAX_SOURCES: usize = 4_096;
/// Above any sensible MTU.
const LARGEST_DATAGRAM: usize = 2_048;

#[derive(Debug)]
pub struct Datagram {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Routes {
    calls: HashMap<String, mpsc::Sender<Datagram>>,
    /// From a peer's address to the user name of its call.
    sources: HashMap<SocketAddr, String>,
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct UdpHub {
    sockets: Arc<[(SocketAddr, Arc<UdpSocket>)]>,
    routes: Arc<Mutex<Routes>>,
}

impl UdpHub {
    /// Binds all local addresses; `port` 0 takes whatever is free. Reads until `stop`.
    pub fn bind(port: u16, stop: &CancellationToken) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for address in local_addresses() {
            let bound = StdUdpSocket::bind(SocketAddr::new(address, port)).and_then(|socket| {
                socket.set_nonblocking(true)?;
                let local = socket.local_addr()?;
                Ok((local, Arc::new(UdpSocket::from_std(socket)?)))
            });
            match bound {
                Ok(socket) => sockets.push(socket),
                // Loopback must work; any other address is a chance more.
                Err(error) if address.is_loopback() => return Err(error),
                Err(error) => tracing::debug!(%address, %error, "no webrtc on this address"),
            }
        }
        let hub = Self { sockets: sockets.into(), routes: Arc::default() };
        for (local, socket) in hub.sockets.iter() {
            tokio::spawn(stop.clone().run_until_cancelled_owned(read(socket.clone(), *local, hub.routes.clone())));
        }
        Ok(hub)
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address)
    }

    /// Datagrams of the call whose ICE user name is `ufrag` go to `call`.
    pub fn register(&self, ufrag: &str, call: mpsc::Sender<Datagram>) {
        lock(&self.routes).calls.insert(ufrag.to_owned(), call);
    }

    pub fn unregister(&self, ufrag: &str) {
        let mut routes = lock(&self.routes);
        routes.calls.remove(ufrag);
        routes.sources.retain(|_, call| call != ufrag);
    }

    /// A full socket buffer loses the datagram, as the network would.
    pub fn send(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let socket = self.sockets.iter().find(|(address, _)| *address == source);
        if let Some((_, socket)) = socket
            && let Err(error) = socket.try_send_to(bytes, destination)
        {
            tracing::trace!(%error, %destination, "a datagram was not sent");
        }
    }
}

async fn read(socket: Arc<UdpSocket>, local: SocketAddr, routes: Arc<Mutex<Routes>>) {
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let (length, source) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // An ICMP answer to something sent earlier; the socket is fine.
            Err(error) => {
                tracing::trace!(%error, "receiving failed");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let bytes = &buffer[..length];
        let call = {
            let mut routes = lock(&routes);
            if let Some(ufrag) = stun_user(bytes) {
                if routes.sources.len() >= MAX_SOURCES {
                    routes.sources.clear();
                }
                routes.sources.insert(source, ufrag.to_owned());
            }
            routes.sources.get(&source).and_then(|ufrag| routes.calls.get(ufrag)).cloned()
        };
        if let Some(call) = call {
            // A full queue loses the datagram, as the network would.
            let _ = call.try_send(Datagram { source, destination: local, bytes: bytes.to_vec() });
        }
    }
}

/// Our part of the user name in a STUN binding request (`ours:theirs`).
fn stun_user(bytes: &[u8]) -> Option<&str> {
    const HEADER: usize = 20;
    const USERNAME: u16 = 0x0006;
    let is_stun = bytes.len() > HEADER && bytes[0] < 2 && bytes[4..8] == [0x21, 0x12, 0xa4, 0x42];
    let mut attributes = bytes.get(HEADER..).filter(|_| is_stun)?;
    while attributes.len() >= 4 {
        let kind = u16::from_be_bytes([attributes[0], attributes[1]]);
        let length = usize::from(u16::from_be_bytes([attributes[2], attributes[3]]));
        let value = attributes.get(4..4 + length)?;
        if kind == USERNAME {
            return std::str::from_utf8(value).ok()?.split(':').next();
        }
        // Attributes begin at multiples of four bytes.
        attributes = attributes.get(4 + length.next_multiple_of(4)..)?;
    }
    None
}

/// Loopback and the addresses of the network interfaces. Chromium is content with
/// loopback; Firefox never uses it.
fn local_addresses() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let mut add = |address: IpAddr| {
        let usable = !address.is_loopback() && !address.is_unspecified();
        if usable && !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    };
    // The address the system would use towards the world; no packet is sent for this.
    for (from, towards) in [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")] {
        let address = StdUdpSocket::bind(from).and_then(|socket| socket.connect(towards).and_then(|()| socket.local_addr()));
        if let Ok(address) = address {
            add(address.ip());
        }
    }
    // All others, where the system says so in a file.
    let ipv4 = std::fs::read_to_string("/proc/net/fib_trie").map_or_else(|_| Vec::new(), |text| fib_addresses(&text));
    let ipv6 = std::fs::read_to_string("/proc/net/if_inet6").map_or_else(|_| Vec::new(), |text| inet6_addresses(&text));
    for address in ipv4.into_iter().chain(ipv6) {
        add(address);
    }
    addresses
}

/// In the kernel's routing trie an own address is a leaf followed by `/32 host LOCAL`.
fn fib_addresses(text: &str) -> Vec<IpAddr> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[1] == "/32 host LOCAL")
        .filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok())
        .collect()
}

/// `address index prefix scope flags name`, with scope 00 for global addresses.
fn inet6_addresses(text: &str) -> Vec<IpAddr> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let bits = u128::from_str_radix(fields.next()?, 16).ok()?;
        (fields.nth(2)? == "00").then(|| IpAddr::V6(Ipv6Addr::from(bits)))
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_user_name_of_a_binding_request() {
        let mut request = vec![0, 1, 0, 24, 0x21, 0x12, 0xa4, 0x42];
        request.extend([0; 12]);
        request.extend([0x80, 0x22, 0, 3, b'x', b'y', b'z', 0]);
        request.extend([0, 6, 0, 9]);
        request.extend(b"ours:them\0\0\0");
        assert_eq!(stun_user(&request), Some("ours"));
        assert_eq!(stun_user(&request[..30]), None);
        assert_eq!(stun_user(&[0x80; 40]), None);
    }

    #[test]
    fn reads_the_kernels_tables() {
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n";
        assert_eq!(fib_addresses(trie), [IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 1, 2, 3])]);
        let inet6 = "fd000000000000000000000000000002 04 40 00 80 eth0\nfe8000000000000000fc00fffe000001 04 40 20 80 eth0\n";
        assert_eq!(inet6_addresses(inet6), ["fd00::2".parse::<IpAddr>().unwrap()]);
    }
}
