//! Links the system's libsrtp2, with the feature `link` only.

use std::process::exit;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The tests compile a C program for the same target.
    println!("cargo::rustc-env=TARGET_TRIPLE={}", std::env::var("TARGET").unwrap_or_default());
    if std::env::var_os("CARGO_FEATURE_LINK").is_none() {
        return;
    }
    if let Err(error) = pkg_config::Config::new().atleast_version("2.4").probe("libsrtp2") {
        println!(
            "cargo::error=libsrtp2 was not found: install it (Debian and Ubuntu: apt install libsrtp2-dev pkg-config)"
        );
        eprintln!("{error}");
        exit(1);
    }
}
