//! Datagrams that the kernel dropped because a socket of ours was not read in time: the last column of
//! `/proc/net/udp` and `/proc/net/udp6`, of our own sockets only.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

/// The UDP sockets of a run, shared by the workers that open them and the one who counts.
#[derive(Clone, Debug, Default)]
pub struct Drops(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    own: FxHashSet<u64>,
    /// What the kernel said of each socket when last asked.
    known: FxHashMap<u64, u64>,
    lost: u64,
}

/// A line of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Local port.
    pub port: u16,
    /// Number of the socket.
    pub inode: u64,
    /// Datagrams dropped since it was opened.
    pub drops: u64,
}

impl Drops {
    /// A socket was opened.
    pub fn add(&self, inode: u64) {
        self.with(|inner| inner.own.insert(inode));
    }

    /// A socket is about to be closed: what it drops from now on, or has since the last [`read`](Self::read), is not
    /// counted.
    pub fn remove(&self, inode: u64) {
        self.with(|inner| inner.own.remove(&inode));
    }

    /// Asks the kernel. Returns what all sockets have dropped so far.
    pub fn read(&self) -> u64 {
        let lines: Vec<Line> = table();
        self.with(|inner| inner.take(&lines))
    }

    fn with<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        // Counts stay sound wherever another thread gave up.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn take(&mut self, lines: &[Line]) -> u64 {
        let before = std::mem::take(&mut self.known);
        for line in lines.iter().filter(|line| self.own.contains(&line.inode)) {
            let last = before.get(&line.inode).copied().unwrap_or(0);
            self.lost += line.drops.saturating_sub(last);
            self.known.insert(line.inode, line.drops);
        }
        self.lost
    }
}

/// Every UDP socket of this network namespace; none where the kernel does not tell.
pub fn table() -> Vec<Line> {
    let files = ["/proc/net/udp", "/proc/net/udp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    files.iter().flat_map(|text| text.lines().filter_map(line)).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut words = text.split_ascii_whitespace();
    let (_, port) = words.nth(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // rem_address st queues timer retransmits uid timeout, inode, ref pointer, drops
    let inode = words.nth(7)?.parse().ok()?;
    let drops = words.nth(2)?.parse().ok()?;
    Some(Line { port, inode, drops })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::udp::Udp;

    #[test]
    fn a_line_of_the_kernel_is_read_by_its_columns() {
        let text = " 3149: 0100007F:13C4 00000000:0000 07 00000000:00000300 00:00000000 00000000  1000 0 41857 2 \
                    0000000000000000 37";
        assert_eq!(line(text), Some(Line { port: 5060, inode: 41_857, drops: 37 }));
        assert_eq!(line("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"), None);
        assert_eq!(line(""), None);
    }

    #[test]
    fn drops_of_a_socket_are_counted_once_and_those_of_others_never() {
        let line = |inode, drops| Line { port: 1, inode, drops };
        let mut inner = Inner::default();
        inner.own.extend([1, 2]);
        assert_eq!(inner.take(&[line(1, 5), line(9, 100)]), 5);
        assert_eq!(inner.take(&[line(1, 7), line(2, 1)]), 8);
        inner.own.remove(&1);
        assert_eq!(inner.take(&[line(1, 50), line(2, 1)]), 8, "a number that somebody else has now");
    }

    #[test]
    fn datagrams_that_nobody_reads_are_counted_as_lost() {
        let drops = Drops::default();
        let socket = Udp::bind(([127, 0, 0, 1], 0).into()).expect("loopback");
        drops.add(socket.inode().expect("it is open"));
        assert_eq!(drops.read(), 0);
        let bytes = [0; 1400];
        let sender = Udp::bind(([127, 0, 0, 1], 0).into()).expect("loopback");
        for _ in 0..20_000 {
            sender.send_all(std::iter::once((socket.local(), &bytes[..])));
        }
        assert!(drops.read() > 0, "28 MB do not fit into a socket");
    }
}
