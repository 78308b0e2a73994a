//! The load: publishers and readers on one thread and one epoll. Everything is edge triggered and bounded in
//! time; the thread never blocks but in epoll.

mod churn;
mod connection;
mod mirror;
mod publisher;
mod reader;
mod run;
mod tally;

pub(crate) use mirror::Mirrored;
pub(crate) use run::{Load, Outcome, Plan};
pub(crate) use tally::{Tally, histogram, realtime_ns};

/// Which descriptor of whom an event is about, in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Timer,
    Publisher(usize),
    Reader(usize),
    ReaderRtp(usize),
    ReaderRtcp(usize),
    Mirror(usize),
}

impl Token {
    pub(crate) fn pack(self) -> u64 {
        let (index, kind) = match self {
            Token::Timer => (0, 0),
            Token::Publisher(index) => (index, 1),
            Token::Reader(index) => (index, 2),
            Token::ReaderRtp(index) => (index, 3),
            Token::ReaderRtcp(index) => (index, 4),
            Token::Mirror(index) => (index, 5),
        };
        (index as u64) << 3 | kind
    }

    pub(crate) fn unpack(packed: u64) -> Token {
        let index = (packed >> 3) as usize;
        match packed & 7 {
            1 => Token::Publisher(index),
            2 => Token::Reader(index),
            3 => Token::ReaderRtp(index),
            4 => Token::ReaderRtcp(index),
            5 => Token::Mirror(index),
            _ => Token::Timer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn tokens_come_back_as_they_were() {
        for token in [
            Token::Timer,
            Token::Publisher(7),
            Token::Reader(0),
            Token::ReaderRtp(5_999),
            Token::ReaderRtcp(1),
            Token::Mirror(2),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
