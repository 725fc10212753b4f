//! UDP sockets: batched receive with the kernel's time stamps, batched send.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg, setsockopt,
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ip_recvtos, set_ipv6_mtu_discover,
};
use smallvec::SmallVec;

use super::clock::Turn;

/// Buffers asked of the kernel for SIP sockets: a burst of some thousand messages.
const SIP_BUFFER: usize = 4 * 1024 * 1024;
/// The same for media sockets of all calls: more than a second of a thousand calls, each packet of which takes 768 bytes there.
const SHARED_MEDIA_BUFFER: usize = 64 * 1024 * 1024;
/// Largest UDP payload; with GRO the kernel may join datagrams up to this.
const MAX_DATAGRAM: usize = 65_535;
/// Errors read from a socket at once: one is as good as a hundred.
const ERRORS_AT_ONCE: usize = 32;
/// Datagrams that are asked for at once of a socket that one call has: seldom is there more than one, and each place costs.
const SMALL_BATCH: usize = 4;
/// Messages per `sendmmsg`.
const SEND_BATCH: usize = 64;

/// First and last port of media where none are named.
pub const MEDIA_PORTS: (u16, u16) = (16_384, 32_767);

/// A UDP socket of a worker.
#[derive(Debug)]
pub struct Udp {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// Datagrams that are asked for at once.
    batch: usize,
}

/// Buffers for receiving, shared by all sockets of a worker.
pub struct Buffers {
    bytes: Vec<Vec<u8>>,
    metas: Vec<RecvMeta>,
}

/// What a batch is sent with.
struct Sending {
    headers: MultiHeaders<SockaddrStorage>,
    addresses: Vec<Option<SockaddrStorage>>,
}

thread_local! {
    /// Shared by all sockets of a worker. Headers hold raw pointers between calls, so they cannot move between
    /// threads: each worker thread has its own.
    static SENDING: RefCell<Sending> = RefCell::new(Sending {
        headers: MultiHeaders::preallocate(SEND_BATCH, None),
        addresses: Vec::with_capacity(SEND_BATCH),
    });
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
        let udp = Self::bind_large(local, SIP_BUFFER)?;
        udp.state.enable_transport_errors(UdpSockRef::from(&udp.socket))?;
        // The batch receiver forbids fragmentation; SIP above the MTU needs it (RFC 3261 §18.1.1).
        match local {
            SocketAddr::V4(_) => set_ip_mtu_discover(&udp.socket, Ipv4PathMtuDiscovery::DONT)?,
            SocketAddr::V6(_) => set_ipv6_mtu_discover(&udp.socket, Ipv6PathMtuDiscovery::DONT)?,
        }
        Ok(udp)
    }

    /// Binds a socket for media of many calls: where the system lets us, its receive buffer is large.
    ///
    /// # Errors
    /// The system's, as address in use.
    pub fn bind_shared_media(local: SocketAddr) -> io::Result<Self> {
        Self::bind_large(local, SHARED_MEDIA_BUFFER)
    }

    fn bind_large(local: SocketAddr, buffer: usize) -> io::Result<Self> {
        let udp = Self { batch: BATCH_SIZE, ..Self::bind(local)? };
        let socket = socket2::SockRef::from(&udp.socket);
        // Best effort: the system's limit applies where we may not pass it, and our own drops are counted.
        if set_socket_recv_buffer_size_force(&udp.socket, buffer).is_err() {
            let _ = socket.set_recv_buffer_size(buffer);
        }
        let _ = socket.set_send_buffer_size(buffer);
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
        forgo_unread(&socket, local);
        Ok(Self { socket, state, local, batch: SMALL_BATCH })
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

    /// The kernel's number of the socket, as in `/proc/net/udp`.
    ///
    /// # Errors
    /// The system's; none is known for an open socket.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.socket)?.st_ino)
    }

    /// Its own address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// For readiness.
    pub fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// Receives a batch and gives each datagram to `each`. False when the socket was empty after it: what comes later,
    /// a pending error (ICMP) included, makes the socket ready again. An error in place of a batch is not the end of
    /// what is there.
    pub fn receive(&self, buffers: &mut Buffers, turn: &Turn, mut each: impl FnMut(Datagram<'_>)) -> bool {
        let slices = buffers.bytes.iter_mut().take(self.batch).map(|bytes| IoSliceMut::new(bytes));
        let mut slices: SmallVec<[IoSliceMut<'_>; BATCH_SIZE]> = slices.collect();
        let received = self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut buffers.metas);
        drop(slices);
        let count = match received {
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
        count == self.batch
    }

    /// Sends datagrams in as few system calls as may be. Returns how many the system took; what it did not take is
    /// lost, as any datagram may be.
    pub fn send_all<'a>(&self, mut datagrams: impl ExactSizeIterator<Item = (SocketAddr, &'a [u8])>) -> usize {
        if datagrams.len() == 1 {
            return datagrams.filter(|(to, bytes)| self.socket.send_to(bytes, *to).is_ok()).count();
        }
        SENDING.with_borrow_mut(|sending| {
            let mut taken = 0;
            while datagrams.len() > 0 {
                let chunk: SmallVec<[_; SEND_BATCH]> = datagrams.by_ref().take(SEND_BATCH).collect();
                match self.send_chunk(sending, &chunk) {
                    Ok(count) => taken += count,
                    // Its buffer is full: the rest would not be taken either.
                    Err(count) => return taken + count,
                }
            }
            taken
        })
    }

    /// Sends at most [`SEND_BATCH`] datagrams. Both results say how many the system took.
    fn send_chunk(&self, sending: &mut Sending, chunk: &[(SocketAddr, &[u8])]) -> Result<usize, usize> {
        let slices: SmallVec<[[IoSlice<'_>; 1]; SEND_BATCH]> =
            chunk.iter().map(|(_, bytes)| [IoSlice::new(bytes)]).collect();
        sending.addresses.clear();
        sending.addresses.extend(chunk.iter().map(|(to, _)| Some(SockaddrStorage::from(*to))));
        let none: [ControlMessage<'_>; 0] = [];
        let (mut begin, mut taken) = (0, 0);
        while begin < chunk.len() {
            let (slices, addresses) = (&slices[begin..], &sending.addresses[begin..]);
            let fd = self.socket.as_raw_fd();
            let sent = sendmmsg(fd, &mut sending.headers, slices, addresses, none, MsgFlags::empty());
            match sent.map(Iterator::count) {
                Ok(0) | Err(nix::errno::Errno::EAGAIN) => return Err(taken),
                Ok(count) => {
                    begin += count;
                    taken += count;
                }
                // One destination's error (as an ICMP that came for it) must not hold up the others.
                Err(_) => begin += 1,
            }
        }
        Ok(taken)
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self { bytes: vec![vec![0; MAX_DATAGRAM]; BATCH_SIZE], metas: vec![RecvMeta::default(); BATCH_SIZE] }
    }
}

/// Has the kernel not write with each datagram what nobody reads: the address that it was sent to, and its type of service.
fn forgo_unread(socket: &mio::net::UdpSocket, local: SocketAddr) {
    // Best effort: what comes all the same does no harm.
    let _ = match local {
        SocketAddr::V4(_) => {
            setsockopt(socket, Ipv4PacketInfo, &false).is_ok() && set_ip_recvtos(socket, false).is_ok()
        }
        SocketAddr::V6(_) => setsockopt(socket, Ipv6RecvPacketInfo, &false).is_ok(),
    };
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

/// The address that this machine is known by where it listens at `listening`: that one, or, where it is every address,
/// that of the default route, else the loopback address.
pub fn own_address(listening: IpAddr) -> IpAddr {
    if !listening.is_unspecified() {
        return listening;
    }
    // Documentation addresses (RFC 5737, RFC 3849): they are routed as the internet is, and nothing is sent.
    let (elsewhere, loopback): (IpAddr, IpAddr) = match listening {
        IpAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()),
    };
    local_address_towards(SocketAddr::new(elsewhere, 9)).unwrap_or(loopback)
}

/// Binds a pair of sockets, RTP on an even port and RTCP on the next (RFC 3550 §11), from `range` or from the
/// system's usual media ports, each bound by `bind`. `cursor` walks through the range, round and round, so that
/// a port just closed is used last.
///
/// # Errors
/// A text that says what was tried.
pub fn bind_media_pair(
    local: IpAddr,
    range: Option<(u16, u16)>,
    cursor: &mut u32,
    bind: impl Fn(SocketAddr) -> io::Result<Udp>,
) -> Result<(Udp, Udp), String> {
    let (first, last) = range.unwrap_or(MEDIA_PORTS);
    let first = u32::from(first).next_multiple_of(2);
    let pairs = (u32::from(last) + 1).saturating_sub(first) / 2;
    let mut failure = format!("no even port and its neighbour in {first}-{last}");
    for _ in 0..pairs {
        let port = first + (*cursor % pairs) * 2;
        *cursor = cursor.wrapping_add(1);
        let bind = |port: u32| bind(SocketAddr::new(local, port as u16));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn a_batch_that_is_sent_and_received_allocates_nothing() {
        let bind = || Udp::bind_shared_media(([127, 0, 0, 1], 0).into()).expect("loopback");
        let (from, to) = (bind(), bind());
        let (mut buffers, turn, bytes) = (Buffers::default(), Turn::begin(clock::now()), [7; 172]);
        let mut round = || {
            let sent = from.send_all((0..20).map(|_| (to.local(), &bytes[..])));
            let mut received = 0;
            // Loopback delivers while it sends.
            let more = to.receive(&mut buffers, &turn, |datagram| received += usize::from(datagram.bytes == bytes));
            assert_eq!((sent, received, more), (20, 20, false));
        };
        round();
        let counted = allocation_counter::measure(round);
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }

    #[test]
    fn a_batch_goes_on_behind_a_destination_that_is_refused() {
        let bind = || Udp::bind(([127, 0, 0, 1], 0).into()).expect("loopback");
        let (from, to) = (bind(), bind());
        // Nothing is sent to port 0: the system refuses it.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let batch = [(to.local(), &b"a"[..]), (nowhere, b"b"), (to.local(), b"c")];
        assert_eq!(from.send_all(batch.into_iter()), 2);
        let (mut buffers, turn, mut seen) = (Buffers::default(), Turn::begin(clock::now()), Vec::new());
        to.receive(&mut buffers, &turn, |datagram| seen.extend_from_slice(datagram.bytes));
        assert_eq!(seen, b"ac");
    }
}
