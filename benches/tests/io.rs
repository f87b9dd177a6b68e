//! `bench-io` from end to end, on the programs that cargo has built beside it.

use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench-io")).args(arguments).output().unwrap()
}

#[test]
fn forwarders_have_results_beside_the_control() {
    let output = std::env::temp_dir().join(format!("bench-io-results-{}", std::process::id()));
    let result = bench(&["--quick", "--only", "core,control", "--output", output.to_str().unwrap()]);
    let printed = String::from_utf8_lossy(&result.stdout);
    let complaints = String::from_utf8_lossy(&result.stderr);
    if complaints.contains("there is no") {
        // Chapter 05's program is another package's: `make test` builds it, `cargo test -p benches` alone doesn't.
        return;
    }
    assert!(result.status.success(), "{printed}{complaints}");

    let report: Value = serde_json::from_slice(&fs::read(output.with_extension("json")).unwrap()).unwrap();
    let outcomes = report["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 2);
    // Neither driver of the core's I/O nor its logic allocates for a packet.
    let allocations = outcomes[0]["allocations_per_packet"]["median"].as_f64().unwrap();
    assert!(outcomes[0]["contender"] == "core" && allocations < 0.01, "{allocations} allocations a packet");
    let receiving = report["receiving"].as_array().unwrap();
    assert_eq!(receiving.len(), 1, "the control forwards nothing, and so can't receive only");
    assert!(receiving[0]["runs"][0]["full"]["packets_per_second"].as_f64().unwrap() > 1_000.0);
    for outcome in outcomes {
        assert!(outcome["summary"]["packets_per_second"]["median"].as_f64().unwrap() > 1_000.0);
        assert!(outcome["runs"][0]["packets_checked"].as_u64().unwrap() > 100);
        assert!(printed.contains(&format!("| {} |", outcome["contender"].as_str().unwrap())));
    }
    let svg = fs::read_to_string(output.with_extension("svg")).unwrap();
    assert!(svg.contains("currentColor") && svg.contains("1 to 10") && !svg.contains("failed"), "{svg}");
    for extension in ["json", "md", "svg"] {
        fs::remove_file(output.with_extension(extension)).unwrap();
    }
}

#[test]
fn more_than_a_forwarder_does_is_refused() {
    for arguments in [["--subscribers", "1001"], ["--lengths", "1473"], ["--lengths", "10"]] {
        let result = bench(&arguments);
        let complaint = String::from_utf8_lossy(&result.stderr);
        assert!(!result.status.success() && complaint.contains("it takes numbers from"), "{complaint}");
    }
}

#[test]
fn nobody_to_measure_is_an_error() {
    let result = bench(&["--quick", "--only", "nobody"]);
    assert_eq!(result.status.code(), Some(1));
}
