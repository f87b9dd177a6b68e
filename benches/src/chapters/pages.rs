//! What is measured for which chapter.

use super::contender::Contender;
use super::load::Work;
use serde::Serialize;

/// One work, and how much of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Case {
    /// What it is called in a table.
    pub name: &'static str,
    /// What an operation is.
    pub work: Work,
    /// How many are measured.
    pub operations: u64,
}

/// A chapter's comparison.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The chapter.
    pub chapter: &'static str,
    /// What an operation is called.
    pub operation: &'static str,
    /// What is done.
    pub cases: &'static [Case],
    /// By whom.
    pub contenders: &'static [Contender],
}

const DATAGRAM: Case =
    Case { name: "UDP, one at a time", work: Work::Datagrams { window: 1, len: 64 }, operations: 20_000 };
const DATAGRAMS: Case =
    Case { name: "UDP, 32 under way", work: Work::Datagrams { window: 32, len: 64 }, operations: 60_000 };
const ONE: Case =
    Case { name: "TCP, 1 connection", work: Work::Echoes { connections: 1, len: 64 }, operations: 20_000 };
const SIXTEEN: Case =
    Case { name: "TCP, 16 connections", work: Work::Echoes { connections: 16, len: 64 }, operations: 60_000 };
const THOUSAND: Case =
    Case { name: "TCP, 1,000 connections", work: Work::Echoes { connections: 1_000, len: 64 }, operations: 60_000 };
const CONNECTIONS: Case = Case { name: "connect, echo, close", work: Work::Connections { len: 64 }, operations: 2_000 };

/// All there are.
pub const PAGES: [Page; 5] = [
    Page {
        chapter: "ch01",
        operation: "echo",
        cases: &[ONE, DATAGRAM, DATAGRAMS, CONNECTIONS],
        contenders: &[Contender::SimplestServer, Contender::Core],
    },
    Page {
        chapter: "ch02",
        operation: "echo",
        cases: &[CONNECTIONS, ONE, SIXTEEN],
        contenders: &[Contender::SimplestServer, Contender::Fork, Contender::Prefork, Contender::Core],
    },
    Page {
        chapter: "ch03",
        operation: "message",
        cases: &[
            Case { name: "64 B, one at a time", work: Work::Frames { window: 1, len: 64 }, operations: 20_000 },
            Case { name: "64 B, 32 under way", work: Work::Frames { window: 32, len: 64 }, operations: 100_000 },
            Case { name: "1 KiB, 32 under way", work: Work::Frames { window: 32, len: 1 << 10 }, operations: 100_000 },
            Case { name: "64 KiB, 4 under way", work: Work::Frames { window: 4, len: 64 << 10 }, operations: 5_000 },
        ],
        contenders: &[Contender::Socketpair, Contender::Core],
    },
    Page {
        chapter: "ch04",
        operation: "echo",
        cases: &[ONE, SIXTEEN, THOUSAND, DATAGRAMS],
        contenders: &[Contender::Fork, Contender::Epoll, Contender::EpollEdge, Contender::Core],
    },
    Page {
        chapter: "ch06",
        operation: "request",
        cases: &[
            Case { name: "one at a time", work: Work::Requests { window: 1 }, operations: 20_000 },
            Case { name: "32 waiting", work: Work::Requests { window: 32 }, operations: 40_000 },
        ],
        contenders: &[Contender::Channel, Contender::Core],
    },
];
