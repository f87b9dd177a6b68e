//! FFmpeg on both sides. It is also an implementation of SRTP that has nothing in common with ours.

use std::fs;

use sfu_control::messages::{MediaKind, SrtpCryptoSuite, SrtpParameters};

use crate::program::{Program, port_pair};
use crate::stage::{
    AUDIO_PAYLOAD_TYPE, AUDIO_SSRC, Entrance, Exit, Stage, VIDEO_PAYLOAD_TYPE, VIDEO_SSRC, session_description,
};

/// What the receiver decodes before it ends: three seconds of each.
const VIDEO_FRAMES: u32 = 45;
const AUDIO_FRAMES: u32 = 150;

const SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AesCm128HmacSha1_80;

/// Base64 of 30 bytes: a master key and salt that FFmpeg encrypts with.
const SENDER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

/// Sends a test picture of 15 frames a second, with a key frame each second, and a tone, until it is killed, as the
/// broadcaster of mediasoup-demo does.
pub fn sender(audio: &Entrance, video: &Entrance, srtp_key: Option<&str>) -> Program {
    let to = |entrance: &Entrance| {
        let (rtp, rtcp) = entrance.ports();
        let scheme = if srtp_key.is_some() { "srtp" } else { "rtp" };
        format!("{scheme}://127.0.0.1:{rtp}?rtcpport={rtcp}&pkt_size=1200")
    };
    let key = srtp_key.map(|key| format!("-srtp_out_suite AES_CM_128_HMAC_SHA1_80 -srtp_out_params {key}"));
    let key = key.unwrap_or_default();
    let (video, audio) = (to(video), to(audio));
    let line = format!(
        "-nostdin -hide_banner -loglevel level+warning \
         -re -t 120 -f lavfi -i testsrc=size=320x240:rate=15 -re -t 120 -f lavfi -i sine=frequency=440:sample_rate=48000 \
         -map 0:v -c:v libvpx -deadline realtime -cpu-used 8 -threads 1 -b:v 300k -g 15 \
         -f rtp -ssrc {VIDEO_SSRC} -payload_type {VIDEO_PAYLOAD_TYPE} {key} {video} \
         -map 1:a -c:a libopus -b:a 64k -ac 2 \
         -f rtp -ssrc {AUDIO_SSRC} -payload_type {AUDIO_PAYLOAD_TYPE} {key} {audio}"
    );
    Program::start("ffmpeg", &words(&line))
}

/// Receives what is described until it has decoded enough; any error ends it with a failure. It sends
/// no reports.
///
/// What is decoded gets new timestamps (a second a picture), because FFmpeg sets them back when the first sender report tells it how the
/// streams go together: sound usually begins before the first key frame.
pub fn receiver(description: &str) -> Program {
    let line = format!(
        "-nostdin -hide_banner -nostats -loglevel level+info -xerror -err_detect explode \
         -protocol_whitelist file,udp,rtp,srtp -i {description} \
         -map 0:v -vf setpts=N/TB -frames:v {VIDEO_FRAMES} -progress pipe:1 -f null - \
         -map 0:a -af volumedetect,asetpts=N/SR/TB -frames:a {AUDIO_FRAMES} -f null -"
    );
    Program::start("ffmpeg", &words(&line))
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Both streams from FFmpeg through the worker to FFmpeg.
struct Show {
    stage: Stage,
    audio: (Entrance, Exit),
    video: (Entrance, Exit),
    output: String,
}

async fn run(srtp_in: bool, srtp_out: bool) -> Show {
    let stage = Stage::set().await;
    let suite = srtp_in.then_some(SUITE);
    let mut audio = stage.entrance(MediaKind::Audio, suite).await;
    let mut video = stage.entrance(MediaKind::Video, suite).await;
    if srtp_in {
        for entrance in [&audio, &video] {
            let key = SrtpParameters { crypto_suite: SUITE, key_base64: SENDER_KEY.to_owned() };
            let remote = sfu_control::PlainRemote { srtp_parameters: Some(key), ..Default::default() };
            entrance.transport.connect(remote).await.unwrap();
        }
    }
    let _sender = sender(&audio, &video, srtp_in.then_some(SENDER_KEY));
    for entrance in [&mut audio, &mut video] {
        entrance.learnt().await;
        entrance.arriving().await;
    }

    let key = || srtp_out.then(|| SrtpParameters { crypto_suite: SUITE, key_base64: SENDER_KEY.to_owned() });
    let audio_out = stage.exit(&audio.producer, port_pair(), key()).await;
    let video_out = stage.exit(&video.producer, port_pair(), key()).await;
    let output = receive(&audio_out, &video_out).await;
    Show { stage, audio: (audio, audio_out), video: (video, video_out), output }
}

/// Lets FFmpeg receive, begins to send only when it listens, and returns what it says in the end.
pub async fn receive(audio: &Exit, video: &Exit) -> String {
    let files = tempfile::tempdir().unwrap();
    let description = files.path().join("session.sdp");
    fs::write(&description, session_description(&[audio, video])).unwrap();
    let mut receiver = receiver(description.to_str().unwrap());
    receiver.bound(&[audio.port, audio.port + 1, video.port, video.port + 1]).await;
    audio.resume().await;
    video.resume().await;
    receiver.success().await
}

/// The receiver has decoded as much as it was to, from a key frame on, without a complaint, and the tone is the one sent.
pub fn assert_decoded(output: &str) {
    let bad = ["[warning]", "[error]", "[fatal]", "[panic]"];
    let complaints: Vec<&str> = output.lines().filter(|line| bad.iter().any(|level| line.contains(level))).collect();
    assert!(complaints.is_empty(), "{complaints:#?}\nof:\n{output}");
    assert!(output.contains("Video: vp8, yuv420p"), "{output}");
    assert!(output.contains("320x240"), "{output}");
    assert_eq!(last(output, "frame="), f64::from(VIDEO_FRAMES), "{output}");
    // 48000 samples a second in two channels, of frames of 20 ms.
    let samples = last(output, "n_samples: ");
    assert!(samples >= f64::from(AUDIO_FRAMES - 1) * 2.0 * 960.0, "{samples} samples:\n{output}");
    // FFmpeg's sine has amplitude 1/8, which is -21 dB, and 3 less when one channel becomes two; GStreamer's has 0.1.
    let volume = last(output, "mean_volume: ");
    assert!((-26.0..=-21.0).contains(&volume), "{volume} dB:\n{output}");
}

/// The number behind the last of these in the output.
fn last(output: &str, name: &str) -> f64 {
    let (_, rest) = output.rsplit_once(name).unwrap_or_else(|| panic!("no {name:?} in:\n{output}"));
    let number = rest.trim_start().split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("no number behind {name:?} in:\n{output}"))
}

impl Show {
    /// What the worker counted agrees with what the programs did.
    async fn check(self) {
        assert_decoded(&self.output);
        for (entrance, exit) in [&self.audio, &self.video] {
            let (received, sent) = (entrance.received().await, exit.sent().await);
            assert_eq!(received.packets_lost, 0, "{received:?}");
            assert_eq!(received.score, 10, "{received:?}");
            let enough = u64::from(if sent.kind == MediaKind::Audio { AUDIO_FRAMES } else { VIDEO_FRAMES });
            assert!(sent.packet_count >= enough, "{sent:?}");
            assert!(received.packet_count >= sent.packet_count, "{received:?}, {sent:?}");
            let [stat] = <[_; 1]>::try_from(exit.transport.get_stats().await.unwrap()).unwrap();
            assert!(stat.rtp_bytes_sent >= sent.byte_count, "{stat:?}");
            // Reports on video go out each second, on audio in five.
            assert!(stat.bytes_sent > stat.rtp_bytes_sent || sent.kind == MediaKind::Audio, "{stat:?}");
        }
        self.stage.clear().await;
    }
}

#[tokio::test]
async fn ffmpeg_decodes_what_ffmpeg_sends() {
    run(false, false).await.check().await;
}

#[tokio::test]
async fn ffmpeg_decrypts_and_decodes_what_the_worker_encrypts() {
    run(false, true).await.check().await;
}

#[tokio::test]
async fn the_worker_decrypts_what_ffmpeg_encrypts() {
    run(true, false).await.check().await;
}
