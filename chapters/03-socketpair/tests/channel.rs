//! What users of a channel rely on: messages come whole or not at all, both sides may speak at once, and the end of
//! one is noticed by the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use ch03_socketpair::duplex::MAX_WAITING;
use ch03_socketpair::frame::{HEADER, MAX_MESSAGE};
use ch03_socketpair::{Decoder, Duplex, Error, encode, fork_with_channel, read_message, write_message};
use proptest::prelude::*;

#[test]
fn a_frame_is_the_length_and_the_message() {
    assert_eq!(encode(b"hi").unwrap(), [&2_u32.to_ne_bytes()[..], b"hi"].concat());
    assert_eq!(encode(b"").unwrap(), [0; HEADER]);
}

proptest! {
    #[test]
    fn messages_survive_a_stream_that_is_cut_anywhere(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        pieces in prop::collection::vec(1_usize..200, 1..50),
        end in any::<prop::sample::Index>(),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
        // What has come when the stream ends, and the messages that are whole in it.
        let stream = &stream[..end.index(stream.len() + 1)];
        let mut left = stream.len();
        let whole = messages.iter().take_while(|message| {
            let frame = HEADER + message.len();
            left.checked_sub(frame).map(|rest| left = rest).is_some()
        });
        let whole: Vec<Vec<u8>> = whole.cloned().collect();

        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        let mut rest = stream;
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(*piece));
            decoder.push(now);
            rest = later;
            while let Some(message) = decoder.next_message().unwrap() {
                got.push(message);
            }
        }
        prop_assert_eq!(got, whole);
        match (left, decoder.finish()) {
            (0, Ok(())) => {}
            (_, Err(Error::Cut { received })) => prop_assert_eq!(received, left),
            (_, other) => prop_assert!(false, "{} bytes were left, and the end was {:?}", left, other),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_nor_make_a_message_of_more_than_came(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let mut taken = 0;
        while let Ok(Some(message)) = decoder.next_message() {
            taken += HEADER + message.len();
        }
        prop_assert!(taken <= bytes.len());
        prop_assert_eq!(decoder.waiting(), bytes.len() - taken);
    }
}

#[test]
fn the_longest_message_passes_and_a_longer_one_is_refused_on_both_sides() {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let writer = thread::spawn(move || {
        write_message(&mut ours, &vec![7; MAX_MESSAGE]).unwrap();
        let refused = write_message(&mut ours, &vec![7; MAX_MESSAGE + 1]);
        assert!(matches!(refused, Err(Error::TooLong { length }) if length == MAX_MESSAGE + 1));
        ours.write_all(&(MAX_MESSAGE as u32 + 1).to_ne_bytes()).unwrap();
    });
    let mut decoder = Decoder::default();
    assert_eq!(read_message(&mut theirs, &mut decoder).unwrap().unwrap().len(), MAX_MESSAGE);
    for _ in 0..2 {
        let refused = read_message(&mut theirs, &mut decoder);
        assert!(matches!(refused, Err(Error::TooLong { length }) if length == MAX_MESSAGE + 1), "{refused:?}");
    }
    writer.join().unwrap();
}

/// Many small messages that came in one read must not be moved for each that is taken out. (Moving would be 5 GB here,
/// and take seconds; without it, it is done in some milliseconds.)
#[test]
fn taking_out_small_messages_is_linear() {
    let frames = encode(b"x").unwrap().repeat(100_000);
    let begin = std::time::Instant::now();
    let mut decoder = Decoder::default();
    decoder.push(&frames);
    let mut count = 0;
    while decoder.next_message().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 100_000);
    assert!(begin.elapsed().as_millis() < 1_000, "it took {:?}", begin.elapsed());
}

/// Each side has more to say than the sockets hold, and says all of it before it listens.
#[test]
fn both_sides_may_speak_first() {
    fn speak(stream: UnixStream, ours: u8, theirs: u8) {
        let mut channel = Duplex::new(stream);
        for _ in 0..3 {
            channel.send(&vec![ours; 1_000_000]).unwrap();
        }
        channel.finish().unwrap();
        for _ in 0..3 {
            assert_eq!(channel.receive().unwrap().unwrap(), vec![theirs; 1_000_000]);
        }
        assert!(channel.receive().unwrap().is_none());
    }
    let (left, right) = UnixStream::pair().unwrap();
    let other = thread::spawn(move || speak(left, 1, 2));
    speak(right, 2, 1);
    other.join().unwrap();
}

#[test]
fn what_a_peer_said_before_it_died_is_received_although_writing_to_it_fails() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    for message in 0_u32..100 {
        write_message(&mut theirs, &message.to_ne_bytes()).unwrap();
    }
    drop(theirs);
    let mut channel = Duplex::new(ours);
    channel.send(&[0; 100_000]).unwrap();
    let error = channel.flush().unwrap_err();
    assert!(matches!(&error, Error::Io(error) if error.kind() == ErrorKind::BrokenPipe), "{error}");
    for message in 0_u32..100 {
        assert_eq!(channel.receive().unwrap().unwrap(), message.to_ne_bytes());
    }
    assert!(channel.receive().unwrap().is_none());
}

#[test]
fn a_peer_that_talks_and_never_listens_is_borne_up_to_a_bound() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let talker = thread::spawn(move || {
        let frame = encode(&[0; 60_000]).unwrap();
        let mut sent = 0;
        while let Ok(length) = (&theirs).write(&frame[..]) {
            sent += length;
        }
        sent
    });
    let mut channel = Duplex::new(ours);
    while channel.send(&[1; 1_000_000]).is_ok() {}
    let refused = channel.send(b"");
    assert!(matches!(refused, Err(Error::Full { waiting }) if waiting < 2 * MAX_WAITING), "{refused:?}");
    let full = channel.flush();
    assert!(matches!(full, Err(Error::Full { waiting }) if waiting < 2 * MAX_WAITING), "{full:?}");
    drop(channel);
    assert!(talker.join().unwrap() >= MAX_WAITING);
}

#[test]
fn a_process_with_threads_is_not_forked() {
    let error = fork_with_channel(|_| 0).unwrap_err();
    assert!(error.to_string().contains("several threads"), "{error}");
}

/// A program that knows nothing of frames returns the bytes, through a socketpair that is its input and output.
#[test]
fn another_program_sends_the_frames_back() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let input = std::os::fd::OwnedFd::from(theirs.try_clone().unwrap());
    let mut cat = std::process::Command::new("cat").stdin(input).stdout(std::os::fd::OwnedFd::from(theirs)).spawn();
    let mut channel = Duplex::new(ours);
    for message in [&b"hello"[..], b"", &[9; 500_000]] {
        channel.send(message).unwrap();
    }
    channel.finish().unwrap();
    let mut lengths = Vec::new();
    while let Some(message) = channel.receive().unwrap() {
        lengths.push(message.len());
    }
    assert_eq!(lengths, [5, 0, 500_000]);
    assert!(cat.as_mut().unwrap().wait().unwrap().success());
}

/// A peer that has finished sending still gets the answers.
#[test]
fn a_half_closed_channel_goes_on_in_the_other_direction() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    write_message(&mut theirs, b"last").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let mut channel = Duplex::new(ours);
    assert_eq!(channel.receive().unwrap().unwrap(), b"last");
    assert!(channel.receive().unwrap().is_none());
    let reader = thread::spawn(move || -> io::Result<usize> { theirs.read_to_end(&mut Vec::new()) });
    channel.send(&[3; 1_000_000]).unwrap();
    channel.finish().unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 1_000_000 + HEADER);
}
