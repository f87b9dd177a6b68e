//! File descriptors: taking over inherited ones, and calling into the kernel.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Takes ownership of a descriptor that this process inherited under an agreed number (a worker's channel is on 3 to 6).
///
/// The descriptor is checked to be open and is marked close-on-exec, so that it doesn't leak into children in turn.
///
/// Call it once per number, and only for numbers that nothing else in the process owns: right at the start of `main`,
/// before anything else opens descriptors. A second owner of the same number would close it under the first.
///
/// # Errors
/// `EBADF` when no such descriptor is open.
pub fn take_fd(raw: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer, and any integer may be asked about.
    let flags = cvt(unsafe { libc::fcntl(raw, libc::F_GETFD) })?;
    // SAFETY: F_SETFD takes no pointer.
    cvt(unsafe { libc::fcntl(raw, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open (F_GETFD has succeeded); the caller says that nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes reads and writes on a descriptor return `WouldBlock` instead of waiting.
///
/// # Errors
/// Those of `fcntl`.
pub fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: F_GETFL takes no pointer.
    let flags = cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: F_SETFL takes no pointer.
        cvt(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// The C convention, "-1 and errno", as a `Result`.
pub(crate) fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// [`cvt`] for calls that return a length.
pub(crate) fn cvt_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call while a signal interrupts it.
pub(crate) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads into a buffer once, repeating only when a signal interrupts.
pub(crate) fn read(fd: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| {
        // SAFETY: the pointer and length are those of a live, exclusively borrowed slice.
        cvt_len(unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) })
    })
}

/// Writes a buffer once, as far as the kernel takes it.
pub(crate) fn write(fd: &impl AsRawFd, buffer: &[u8]) -> io::Result<usize> {
    retry(|| {
        // SAFETY: the pointer and length are those of a live slice, which the kernel only reads.
        cvt_len(unsafe { libc::write(fd.as_raw_fd(), buffer.as_ptr().cast(), buffer.len()) })
    })
}

/// Sets an integer socket option.
pub(crate) fn set_option(
    fd: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads one c_int, whose address and size are given.
    cvt(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Reads an integer socket option.
pub(crate) fn get_option(fd: &impl AsRawFd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most one c_int, whose address and size are given.
    cvt(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &mut length) })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn takes_an_open_descriptor_and_refuses_a_closed_one() {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let raw = stream.into_raw_fd();
        let owned = take_fd(raw).unwrap();
        // SAFETY: F_GETFD takes no pointer.
        let flags = unsafe { libc::fcntl(raw, libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        drop(owned);

        // Far beyond any descriptor limit, so never open.
        assert_eq!(take_fd(1 << 30).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(take_fd(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
