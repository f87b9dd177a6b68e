//! Negotiates what it reads, a JSON object a line, and writes each result as a line. Other implementations of the same
//! negotiation can be compared by it, as `tests/node/ortc.test.mjs` does with mediasoup's.

use std::io::{BufRead, Write};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sfu_channel::{MediaKind, RtpCodecCapability};
use sfu_control::ortc::{self, OrtcError};

/// One case, from a router's codecs to a consumer's parameters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    media_codecs: Value,
    kind: MediaKind,
    rtp_parameters: Value,
    rtp_capabilities: Value,
    pipe: bool,
    enable_rtx: bool,
}

/// What mediasoup would throw.
struct Thrown(&'static str);

impl From<OrtcError> for Thrown {
    fn from(error: OrtcError) -> Self {
        Self(error.name())
    }
}

/// Values of a wrong JSON type are refused as they are read, where mediasoup throws a `TypeError` later.
fn read<T: DeserializeOwned>(value: Value) -> Result<T, Thrown> {
    serde_json::from_value(value).map_err(|_| Thrown("TypeError"))
}

fn thrown(outcome: Result<Value, Thrown>) -> Value {
    outcome.unwrap_or_else(|Thrown(name)| json!({ "throws": name }))
}

/// All steps, up to the first that fails.
fn negotiate(case: Case) -> Value {
    let mut steps = json!({});
    if let Err(Thrown(name)) = produce(case, &mut steps) {
        steps["throws"] = json!(name);
    }
    steps
}

fn produce(case: Case, steps: &mut Value) -> Result<(), Thrown> {
    let media_codecs: Vec<RtpCodecCapability> = read(case.media_codecs)?;
    let router = ortc::generate_router_rtp_capabilities(&media_codecs)?;
    steps["router"] = json!(router);
    let mut parameters = read(case.rtp_parameters)?;
    ortc::validate_rtp_parameters(&mut parameters)?;
    let mapping = ortc::get_producer_rtp_parameters_mapping(&mut parameters, &router)?;
    steps["parameters"] = json!(parameters);
    steps["mapping"] = json!(mapping);
    let consumable = ortc::get_consumable_rtp_parameters(case.kind, &parameters, &router, &mapping)?;
    steps["consumable"] = json!(consumable);
    steps["piped"] = json!(ortc::get_pipe_consumer_rtp_parameters(&consumable, case.enable_rtx));
    let mut capabilities = read(case.rtp_capabilities)?;
    ortc::validate_rtp_capabilities(&mut capabilities)?;
    steps["canConsume"] = json!(ortc::can_consume(&consumable, &capabilities));
    let consumed = ortc::get_consumer_rtp_parameters(&consumable, &capabilities, case.pipe, case.enable_rtx);
    steps["consumed"] = thrown(consumed.map(|parameters| json!(parameters)).map_err(Thrown::from));
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(output, "{}", negotiate(serde_json::from_str(&line?)?))?;
    }
    Ok(())
}
