//! GStreamer on either side: it answers requests for key frames, which FFmpeg does not, and its SRTP is libsrtp's, with
//! the AEAD suites.

use base64::Engine;
use sfu_control::messages::{MediaKind, SrtpCryptoSuite, SrtpParameters};

use crate::ffmpeg;
use crate::program::{Program, port_pair};
use crate::stage::{AUDIO_PAYLOAD_TYPE, AUDIO_SSRC, Entrance, Exit, Stage, VIDEO_PAYLOAD_TYPE, VIDEO_SSRC};

/// What a receiver decodes at least: three seconds of pictures, and of loudness in tenths of a second.
const VIDEO_FRAMES: usize = 45;
const AUDIO_LEVELS: usize = 30;

/// Ports that a sender has for itself: it sends RTP from the first, and receives RTCP on the next.
struct SenderPorts {
    audio: u16,
    video: u16,
}

/// Sends a test picture without any key frame that is not asked for, and a tone, until it is killed.
fn sender(ports: &SenderPorts, audio: &Entrance, video: &Entrance) -> Program {
    let session = |name: &str, entrance: &Entrance, port: u16| {
        let (rtp, rtcp) = entrance.ports();
        let own_rtcp = port + 1;
        format!(
            "{name}.send_rtp_src_0 ! udpsink host=127.0.0.1 port={rtp} bind-address=127.0.0.1 bind-port={port} \
             {name}.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={rtcp} sync=false async=false \
             udpsrc address=127.0.0.1 port={own_rtcp} ! {name}.recv_rtcp_sink_0"
        )
    };
    let (audio, video) = (session("sound", audio, ports.audio), session("picture", video, ports.video));
    launch(&format!(
        "rtpbin name=sound rtp-profile=avpf rtpbin name=picture rtp-profile=avpf \
         audiotestsrc is-live=true volume=0.1 ! audio/x-raw,rate=48000,channels=2 ! opusenc bitrate=64000 \
         ! rtpopuspay pt={AUDIO_PAYLOAD_TYPE} ssrc={AUDIO_SSRC} ! sound.send_rtp_sink_0 {audio} \
         videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1 \
         ! vp8enc deadline=1 cpu-used=8 threads=1 target-bitrate=300000 keyframe-max-dist=1000000 \
         ! rtpvp8pay pt={VIDEO_PAYLOAD_TYPE} ssrc={VIDEO_SSRC} mtu=1200 ! picture.send_rtp_sink_0 {video}"
    ))
}

/// Receives and decodes until it is killed, and says so for each picture and for each tenth of a second of sound.
///
/// One pipeline can't send and receive through one socket. So RTCP is received of the sound and sent of the picture.
fn receiver(audio: &Exit, video: &Exit) -> Program {
    let media = |name: &str, exit: &Exit| {
        format!("udpsrc address=127.0.0.1 port={} caps={} ! {name}.recv_rtp_sink_0", exit.port, caps(RTP, exit))
    };
    let (sound_rtcp, picture_rtcp) = (audio.port + 1, video.port + 1);
    let worker = video.transport.rtcp_tuple().unwrap().local_port;
    launch(&format!(
        "rtpbin name=sound rtpbin name=picture {} {} \
         udpsrc address=127.0.0.1 port={sound_rtcp} ! sound.recv_rtcp_sink_0 \
         picture.send_rtcp_src_0 ! udpsink host=127.0.0.1 port={worker} \
         bind-address=127.0.0.1 bind-port={picture_rtcp} sync=false async=false \
         sound. ! rtpopusdepay ! opusdec ! audioconvert ! {METER} \
         picture. ! rtpvp8depay ! vp8dec ! {COUNTER}",
        media("sound", audio),
        media("picture", video)
    ))
}

/// The same of encrypted streams, without RTCP.
fn decrypting_receiver(audio: &Exit, video: &Exit) -> Program {
    let source = |exit: &Exit| {
        let key = exit.transport.srtp_parameters().expect("the exit encrypts");
        let cipher = match key.crypto_suite {
            SrtpCryptoSuite::AeadAes128Gcm => "aes-128-gcm",
            SrtpCryptoSuite::AeadAes256Gcm => "aes-256-gcm",
            other => unreachable!("{other:?} is not tested here"),
        };
        let bytes = base64::engine::general_purpose::STANDARD.decode(&key.key_base64).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let ssrc = exit.consumer.rtp_parameters().encodings[0].ssrc.unwrap();
        let caps = caps(SRTP, exit);
        format!(
            "udpsrc address=127.0.0.1 port={} caps={caps},ssrc=(uint){ssrc},srtp-key=(buffer){hex},\
             srtp-cipher=(string){cipher},srtp-auth=(string)null,\
             srtcp-cipher=(string){cipher},srtcp-auth=(string)null ! srtpdec",
            exit.port
        )
    };
    launch(&format!(
        "{} ! rtpopusdepay ! opusdec ! audioconvert ! {METER} {} ! rtpvp8depay ! vp8dec ! {COUNTER}",
        source(audio),
        source(video)
    ))
}

const RTP: &str = "application/x-rtp";
const SRTP: &str = "application/x-srtp";

/// Writes a message each tenth of a second.
const METER: &str = "level name=meter interval=100000000 ! fakesink sync=false";

/// Writes a line for each picture.
const COUNTER: &str = "video/x-raw,width=320,height=240 ! fakesink name=counter sync=false silent=false";

fn caps(media_type: &str, exit: &Exit) -> String {
    let codec = &exit.consumer.rtp_parameters().codecs[0];
    let (media, encoding) = codec.mime_type.split_once('/').unwrap();
    format!(
        "{media_type},media=(string){media},clock-rate=(int){},encoding-name=(string){},payload=(int){}",
        codec.clock_rate,
        encoding.to_uppercase(),
        codec.payload_type
    )
}

/// With all messages (-m) and changes of properties (-v) on the output.
fn launch(pipeline: &str) -> Program {
    let arguments = ["-m", "-v"].into_iter().chain(pipeline.split_whitespace());
    Program::start("gst-launch-1.0", &arguments.map(str::to_owned).collect::<Vec<_>>())
}

/// Sets the stage with GStreamer sending.
async fn set() -> (Stage, Program, Entrance, Entrance) {
    let stage = Stage::set().await;
    let ports = SenderPorts { audio: port_pair(), video: port_pair() };
    let audio = stage.connected_entrance(MediaKind::Audio, ports.audio, ports.audio + 1).await;
    let video = stage.connected_entrance(MediaKind::Video, ports.video, ports.video + 1).await;
    let sender = sender(&ports, &audio, &video);
    audio.arriving().await;
    video.arriving().await;
    (stage, sender, audio, video)
}

/// Lets it decode enough, from the first picture on that it gets.
async fn watch(receiver: &mut Program, ports: &[u16], audio: &Exit, video: &Exit) {
    receiver.bound(ports).await;
    audio.resume().await;
    video.resume().await;
    let pictures = |output: &str| output.lines().filter(|line| line.contains("counter: last-message = chain")).count();
    let levels = |output: &str| rms(output).len();
    let enough = |output: &str| pictures(output) >= VIDEO_FRAMES && levels(output) >= AUDIO_LEVELS;
    let output = receiver.await_output("enough is decoded", enough).await;
    for complaint in ["ERROR", "WARNING"] {
        assert!(!output.contains(complaint), "{output}");
    }
    // A sine of amplitude 0.1 has -23 dB. The encoder takes a moment at the beginning.
    let levels = rms(&output);
    let loud = levels.iter().filter(|level| (-24.0..=-22.0).contains(*level)).count();
    assert!(loud + 5 >= levels.len(), "{levels:?}");
}

/// The loudness of the first channel in each message of the meter's, in dB.
fn rms(output: &str) -> Vec<f64> {
    let parse = |line: &str| {
        let (_, values) = line.split_once("rms=(GValueArray)<")?;
        values.split([',', '>']).next()?.trim().parse().ok()
    };
    output.lines().filter_map(parse).collect()
}

#[tokio::test]
async fn gstreamer_decodes_what_gstreamer_sends_from_the_key_frame_that_the_worker_asks_for() {
    let (stage, _sender, audio, video) = set().await;
    let audio_out = stage.exit(&audio.producer, port_pair(), None).await;
    let video_out = stage.exit(&video.producer, port_pair(), None).await;
    let mut receiver = receiver(&audio_out, &video_out);
    let ports = [audio_out.port, audio_out.port + 1, video_out.port, video_out.port + 1];
    watch(&mut receiver, &ports, &audio_out, &video_out).await;
    let received = video.received().await;
    assert!(received.pli_count >= 1, "{received:?}");
    assert_eq!(received.packets_lost, 0, "{received:?}");
    let sent = video_out.reported().await;
    assert_eq!((sent.packets_lost, sent.fraction_lost, sent.score), (0, 0, 10), "{sent:?}");
    stage.clear().await;
}

#[tokio::test]
async fn ffmpeg_joins_late_and_decodes_what_gstreamer_sends() {
    let (stage, _sender, audio, video) = set().await;
    let audio_out = stage.exit(&audio.producer, port_pair(), None).await;
    let video_out = stage.exit(&video.producer, port_pair(), None).await;
    let output = ffmpeg::receive(&audio_out, &video_out).await;
    ffmpeg::assert_decoded(&output);
    stage.clear().await;
}

#[tokio::test]
async fn libsrtp_decrypts_both_aead_suites() {
    let (stage, _sender, audio, video) = set().await;
    for suite in [SrtpCryptoSuite::AeadAes128Gcm, SrtpCryptoSuite::AeadAes256Gcm] {
        let key_base64 = base64::engine::general_purpose::STANDARD.encode(vec![7; suite.key_and_salt_len()]);
        let key = || Some(SrtpParameters { crypto_suite: suite, key_base64: key_base64.clone() });
        let audio_out = stage.exit(&audio.producer, port_pair(), key()).await;
        let video_out = stage.exit(&video.producer, port_pair(), key()).await;
        let mut receiver = decrypting_receiver(&audio_out, &video_out);
        watch(&mut receiver, &[audio_out.port, video_out.port], &audio_out, &video_out).await;
        audio_out.transport.close().await.unwrap();
        video_out.transport.close().await.unwrap();
    }
    stage.clear().await;
}
