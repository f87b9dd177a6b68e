//! What the worker writes, literally as the protocol has it.

mod dumps;
mod messages;
mod statistics;

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};
use sfu_channel::json::from_value;
use sfu_channel::*;

/// What the worker answers has just these members, and the library reads the same struct out of them, names a member
/// that is of a wrong type, and passes over those that it does not know.
fn assert_shape<T>(value: &T, expected: Value)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
    assert_eq!(&from_value::<T>(&expected).unwrap(), value);
    // The type of some is only written, since the request tells it.
    for name in expected.as_object().unwrap().keys().filter(|name| *name != "type") {
        let mut wrong = expected.clone();
        // Nothing is a list of lists of such numbers; a list alone may stand for a struct.
        wrong[name] = json!([[-1]]);
        let field = from_value::<T>(&wrong).unwrap_err().field;
        assert!(field == *name || field.starts_with(&format!("{name}[")), "{name}: {field:?}");
    }
    let mut more = expected;
    more["unheardOf"] = json!({"of": [1]});
    assert_eq!(&from_value::<T>(&more).unwrap(), value);
}

fn tuple() -> TransportTuple {
    TransportTuple {
        local_address: "9.9.9.1".to_owned(),
        local_port: 4000,
        remote_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        remote_port: Some(5000),
        protocol: Protocol::Udp,
    }
}

fn tuple_json() -> Value {
    json!({"localIp": "9.9.9.1", "localPort": 4000, "remoteIp": "127.0.0.1", "remotePort": 5000, "protocol": "udp"})
}
