//! Compiles a C program against the installed header and compares its view of the library with ours.
#![cfg(feature = "link")]

use libsrtp2_sys::*;
use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::process::Command;

#[test]
fn layout_is_the_installed_headers() {
    let mut ours: Vec<(&str, usize)> = vec![
        ("srtp_err_status_ok", srtp_err_status_ok as usize),
        ("srtp_err_status_auth_fail", srtp_err_status_auth_fail as usize),
        ("srtp_err_status_replay_fail", srtp_err_status_replay_fail as usize),
        ("srtp_err_status_replay_old", srtp_err_status_replay_old as usize),
        ("srtp_err_status_cant_check", srtp_err_status_cant_check as usize),
        ("srtp_err_status_key_expired", srtp_err_status_key_expired as usize),
        ("srtp_err_status_parse_err", srtp_err_status_parse_err as usize),
        ("srtp_err_status_pkt_idx_old", srtp_err_status_pkt_idx_old as usize),
        ("ssrc_any_inbound", ssrc_any_inbound as usize),
        ("ssrc_any_outbound", ssrc_any_outbound as usize),
        ("SRTP_MAX_TRAILER_LEN", SRTP_MAX_TRAILER_LEN),
        ("sizeof(srtp_err_status_t)", size_of::<srtp_err_status_t>()),
        ("sizeof(srtp_ssrc_type_t)", size_of::<srtp_ssrc_type_t>()),
        ("sizeof(srtp_t)", size_of::<srtp_t>()),
    ];
    macro_rules! structure {
        ($name:ident: $($field:ident $(as $c:literal)?),+) => {
            ours.push((concat!("sizeof(", stringify!($name), ")"), size_of::<$name>()));
            $(ours.push((structure!(@c $name $field $($c)?), offset_of!($name, $field)));)+
        };
        (@c $name:ident $field:ident $c:literal) => { concat!("offsetof(", stringify!($name), ", ", $c, ")") };
        (@c $name:ident $field:ident) => { concat!("offsetof(", stringify!($name), ", ", stringify!($field), ")") };
    }
    structure!(srtp_crypto_policy_t: cipher_type, cipher_key_len, auth_type, auth_key_len, auth_tag_len, sec_serv);
    structure!(srtp_ssrc_t: type_ as "type", value);
    structure!(
        srtp_policy_t: ssrc, rtp, rtcp, key, keys, num_master_keys, deprecated_ekt, window_size, allow_repeat_tx,
        enc_xtn_hdr, enc_xtn_hdr_count, next
    );

    /// A function has the same type in Rust and in C.
    macro_rules! function {
        ($name:ident: $rust:ty = $c:literal) => {
            let _: $rust = $name;
            ours.push((concat!("__builtin_types_compatible_p(__typeof__(", stringify!($name), "), ", $c, ")"), 1));
        };
    }
    type Init = unsafe extern "C" fn() -> srtp_err_status_t;
    type Create = unsafe extern "C" fn(*mut srtp_t, *const srtp_policy_t) -> srtp_err_status_t;
    type Dealloc = unsafe extern "C" fn(srtp_t) -> srtp_err_status_t;
    type Transform = unsafe extern "C" fn(srtp_t, *mut c_void, *mut c_int) -> srtp_err_status_t;
    type SetPolicy = unsafe extern "C" fn(*mut srtp_crypto_policy_t);
    function!(srtp_init: Init = "srtp_err_status_t(void)");
    function!(srtp_create: Create = "srtp_err_status_t(srtp_t *, const srtp_policy_t *)");
    function!(srtp_dealloc: Dealloc = "srtp_err_status_t(srtp_t)");
    function!(srtp_protect: Transform = "srtp_err_status_t(srtp_t, void *, int *)");
    function!(srtp_unprotect: Transform = "srtp_err_status_t(srtp_t, void *, int *)");
    function!(srtp_protect_rtcp: Transform = "srtp_err_status_t(srtp_t, void *, int *)");
    function!(srtp_unprotect_rtcp: Transform = "srtp_err_status_t(srtp_t, void *, int *)");
    function!(srtp_crypto_policy_set_rtp_default: SetPolicy = "void(srtp_crypto_policy_t *)");
    function!(srtp_crypto_policy_set_rtcp_default: SetPolicy = "void(srtp_crypto_policy_t *)");
    function!(srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32: SetPolicy = "void(srtp_crypto_policy_t *)");
    function!(srtp_crypto_policy_set_aes_gcm_128_16_auth: SetPolicy = "void(srtp_crypto_policy_t *)");
    function!(srtp_crypto_policy_set_aes_gcm_256_16_auth: SetPolicy = "void(srtp_crypto_policy_t *)");

    let mut source =
        String::from("#include <srtp2/srtp.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n");
    for (expression, _) in &ours {
        writeln!(source, "    printf(\"%zu\\n\", (size_t)({expression}));").unwrap();
    }
    source.push_str("    return 0;\n}\n");

    let folder = tempfile::tempdir().unwrap();
    let (file, program) = (folder.path().join("layout.c"), folder.path().join("layout"));
    std::fs::write(&file, source).unwrap();
    let target = env!("TARGET_TRIPLE");
    let compiler = cc::Build::new().target(target).host(target).opt_level(0).get_compiler();
    let status = compiler.to_command().arg(&file).arg("-o").arg(&program).status().unwrap();
    assert!(status.success(), "the C program does not compile");
    let output = Command::new(&program).output().unwrap();

    let theirs: Vec<usize> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(theirs.len(), ours.len());
    for ((expression, ours), theirs) in ours.iter().zip(theirs) {
        assert_eq!(*ours, theirs, "{expression}");
    }
}

#[test]
fn the_library_starts() {
    // SAFETY: this is the only use of the library in this process.
    assert_eq!(unsafe { srtp_init() }, srtp_err_status_ok);
}
