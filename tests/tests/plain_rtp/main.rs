//! Media of other people's programs through the worker: FFmpeg and GStreamer send RTP or SRTP into plain transports, and
//! receive it out of others, decode it, and count what they decoded.

mod ffmpeg;
mod gstreamer;
mod program;
mod stage;
