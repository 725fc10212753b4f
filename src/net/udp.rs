//! UDP sockets: batched receive with the kernel's time stamps, batched send.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg,
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};

use super::clock::Turn;

/// Receive buffer asked of the kernel for SIP sockets: a burst of some thousand messages.
const SIP_BUFFER: usize = 4 * 1024 * 1024;
/// Largest UDP payload; with GRO the kernel may join datagrams up to this.
const MAX_DATAGRAM: usize = 65_535;
/// Errors read from a socket at once: one is as good as a hundred.
const ERRORS_AT_ONCE: usize = 32;
/// Messages per `sendmmsg`.
const SEND_BATCH: usize = 64;

/// A UDP socket of a worker.
#[derive(Debug)]
pub struct Udp {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Buffers for receiving, shared by all sockets of a worker.
pub struct Buffers {
    bytes: Vec<Vec<u8>>,
    metas: Vec<RecvMeta>,
}

thread_local! {
    /// Headers for sending, shared by all sockets of a worker. They hold raw pointers between calls, so they cannot
    /// move between threads: each worker thread has its own.
    static HEADERS: RefCell<MultiHeaders<SockaddrStorage>> = RefCell::new(MultiHeaders::preallocate(SEND_BATCH, None));
}

/// A datagram as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// When, by the kernel.
    pub arrived: Instant,
    /// From where.
    pub from: SocketAddr,
    /// What.
    pub bytes: &'a [u8],
}

impl Udp {
    /// Binds a socket for SIP: a large receive buffer, and messages above the MTU are sent in fragments.
    ///
    /// # Errors
    /// The system's, as address in use.
    pub fn bind_sip(local: SocketAddr) -> io::Result<Self> {
        let udp = Self::bind(local)?;
        udp.state.enable_transport_errors(UdpSockRef::from(&udp.socket))?;
        let socket = socket2::SockRef::from(&udp.socket);
        // Best effort: the system's limit applies, and our own drops are counted.
        let _ = socket.set_recv_buffer_size(SIP_BUFFER);
        let _ = socket.set_send_buffer_size(SIP_BUFFER);
        // The batch receiver forbids fragmentation; SIP above the MTU needs it (RFC 3261 §18.1.1).
        match local {
            SocketAddr::V4(_) => set_ip_mtu_discover(&udp.socket, Ipv4PathMtuDiscovery::DONT)?,
            SocketAddr::V6(_) => set_ipv6_mtu_discover(&udp.socket, Ipv6PathMtuDiscovery::DONT)?,
        }
        Ok(udp)
    }

    /// Binds a socket.
    ///
    /// # Errors
    /// The system's, as address in use.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let socket = mio::net::UdpSocket::bind(local)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local })
    }

    /// Destinations of which ICMP says that nobody is there, since last asked.
    pub fn unreachable(&self) -> Vec<(SocketAddr, io::Error)> {
        let mut found = Vec::new();
        // The batch receiver reads this queue too, but tells the router's address and not what was sent to.
        while found.len() < ERRORS_AT_ONCE {
            let (mut bytes, mut control) = ([0; 64], nix::cmsg_space!([u8; 128]));
            let mut slices = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            let Ok(message) = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags) else { break };
            let errno = message.cmsgs().ok().and_then(|mut all| {
                all.find_map(|one| match one {
                    ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                        i32::try_from(error.ee_errno).ok()
                    }
                    _ => None,
                })
            });
            let to = message.address.as_ref().and_then(address_of);
            found.extend(to.zip(errno.map(io::Error::from_raw_os_error)));
        }
        found
    }

    /// Its own address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// For readiness.
    pub fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// Receives a batch and gives each datagram to `each`. False when the socket is empty; a pending error (ICMP) is
    /// not the end of what is there.
    pub fn receive(&self, buffers: &mut Buffers, turn: &Turn, mut each: impl FnMut(Datagram<'_>)) -> bool {
        let mut slices = buffers.bytes.iter_mut().map(|bytes| IoSliceMut::new(bytes));
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| slices.next().expect("as many buffers as a batch"));
        let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut buffers.metas) {
            Ok(count) => count,
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        };
        for (meta, buffer) in buffers.metas[..count].iter().zip(&buffers.bytes) {
            let arrived = meta.timestamp.map_or(turn.now, |stamp| turn.instant_of(stamp));
            for bytes in buffer[..meta.len].chunks(meta.stride.max(1)) {
                each(Datagram { arrived, from: meta.addr, bytes });
            }
            if meta.len == 0 {
                each(Datagram { arrived, from: meta.addr, bytes: &[] });
            }
        }
        count > 0
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when its buffer is full.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, to).map(drop)
    }

    /// Sends datagrams in as few system calls as may be. Returns how many the system took; what it did not take is
    /// lost, as any datagram may be.
    pub fn send_all(&self, datagrams: &[(SocketAddr, &[u8])]) -> usize {
        HEADERS.with_borrow_mut(|headers| self.send_chunks(headers, datagrams))
    }

    fn send_chunks(&self, headers: &mut MultiHeaders<SockaddrStorage>, datagrams: &[(SocketAddr, &[u8])]) -> usize {
        let mut taken = 0;
        for chunk in datagrams.chunks(SEND_BATCH) {
            let slices: Vec<[IoSlice<'_>; 1]> = chunk.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
            let addresses: Vec<Option<SockaddrStorage>> = chunk.iter().map(|(to, _)| Some((*to).into())).collect();
            let none: [ControlMessage<'_>; 0] = [];
            let fd = self.socket.as_raw_fd();
            let mut begin = 0;
            while begin < chunk.len() {
                let sent = sendmmsg(fd, headers, &slices[begin..], &addresses[begin..], none, MsgFlags::empty());
                match sent.map(Iterator::count) {
                    Ok(0) | Err(nix::errno::Errno::EAGAIN) => return taken,
                    Ok(count) => {
                        begin += count;
                        taken += count;
                    }
                    // One destination's error (as an ICMP that came for it) must not hold up the others.
                    Err(_) => begin += 1,
                }
            }
        }
        taken
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self { bytes: vec![vec![0; MAX_DATAGRAM]; BATCH_SIZE], metas: vec![RecvMeta::default(); BATCH_SIZE] }
    }
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|it| SocketAddr::from((it.ip(), it.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| SocketAddr::from((it.ip(), it.port()))))
}

/// The local address from which `remote` is reached, by the system's routes. Nothing is sent.
///
/// # Errors
/// The system's, as network unreachable.
pub fn local_address_towards(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = mio::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// Binds a pair of sockets, RTP on an even port and RTCP on the next (RFC 3550 §11), from `range` or from the
/// system's usual media ports. `cursor` walks through the range so that a port just closed is used last.
///
/// # Errors
/// A text that says what was tried.
pub fn bind_media_pair(local: IpAddr, range: Option<(u16, u16)>, cursor: &mut u32) -> Result<(Udp, Udp), String> {
    let (first, last) = range.unwrap_or((16_384, 32_767));
    let first = u32::from(first).next_multiple_of(2);
    let pairs = (u32::from(last) + 1).saturating_sub(first) / 2;
    let mut failure = format!("no even port and its neighbour in {first}-{last}");
    for _ in 0..pairs {
        let port = first + (*cursor % pairs) * 2;
        *cursor = cursor.wrapping_add(1);
        let bind = |port: u32| Udp::bind(SocketAddr::new(local, port as u16));
        match bind(port).and_then(|rtp| Ok((rtp, bind(port + 1)?))) {
            Ok(pair) => return Ok(pair),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                failure = format!("every port pair in {first}-{last} is in use");
            }
            // Out of file descriptors, or an address that is not ours: trying on does not help.
            Err(error) => return Err(format!("RTP port {port} on {local}: {error}")),
        }
    }
    Err(failure)
}
