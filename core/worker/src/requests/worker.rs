//! Requests to the worker itself.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use sfu_channel::dump::{ChannelMessageHandlers, ResourceUsage, WorkerDump};
use sfu_channel::request::Request;
use sfu_channel::response::{Refusal, Reply};

use super::{Outcome, unknown_method};
use crate::registry::EntityKey;
use crate::router::Router;
use crate::web_rtc_server::WebRtcServer;
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, request: Request) -> Outcome {
    match request {
        Request::WorkerDump => Ok(Some(Reply::WorkerDump(dump(worker)))),
        Request::WorkerGetResourceUsage => Ok(Some(Reply::ResourceUsage(resource_usage()?))),
        Request::WorkerUpdateSettings(settings) => {
            Worker::update_log_settings(settings.log_level, settings.log_tags);
            Ok(None)
        }
        Request::WorkerClose => {
            worker.closing = true;
            Ok(None)
        }
        Request::WorkerCreateRouter(request) => {
            worker.registry.check_free(&request.router_id)?;
            let router = worker.routers.insert(Router::new(request.router_id));
            worker.registry.insert(&worker.routers[router].id, EntityKey::Router(router));
            Ok(None)
        }
        Request::WorkerCloseRouter(request) => {
            let router = worker.find_router(&request.router_id)?;
            worker.close_router(router);
            Ok(None)
        }
        Request::WorkerCreateWebRtcServer(request) => {
            worker.registry.check_free(&request.web_rtc_server_id)?;
            let key = worker.web_rtc_servers.vacant_key();
            let server = WebRtcServer::new(key, request, &mut worker.sockets)?;
            worker.registry.insert(&server.id, EntityKey::WebRtcServer(key));
            worker.web_rtc_servers.insert(server);
            Ok(None)
        }
        Request::WorkerCloseWebRtcServer(request) => {
            let server = worker.find_web_rtc_server(&request.web_rtc_server_id)?;
            worker.close_web_rtc_server(server);
            Ok(None)
        }
        other => Err(unknown_method(other.method())),
    }
}

fn dump(worker: &Worker) -> WorkerDump {
    let servers: Vec<String> = worker.web_rtc_servers.iter().map(|(_, server)| server.id.clone()).collect();
    let routers: Vec<String> = worker.routers.iter().map(|(_, router)| router.id.clone()).collect();
    let transports: Vec<String> = worker.transports.iter().map(|(_, transport)| transport.id.clone()).collect();
    let producers: Vec<String> = worker.producers.iter().map(|(_, producer)| producer.id.clone()).collect();
    let consumers: Vec<String> = worker.consumers.iter().map(|(_, consumer)| consumer.id.clone()).collect();
    let data_producers: Vec<String> = worker.data_producers.iter().map(|(_, producer)| producer.id.clone()).collect();
    let data_consumers: Vec<String> = worker.data_consumers.iter().map(|(_, consumer)| consumer.id.clone()).collect();
    let observers: Vec<String> = worker.rtp_observers.iter().map(|(_, observer)| observer.id.clone()).collect();
    WorkerDump {
        pid: std::process::id(),
        web_rtc_server_ids: servers.clone(),
        router_ids: routers.clone(),
        channel_message_handlers: ChannelMessageHandlers {
            channel_request_handlers: [
                servers,
                routers,
                transports.clone(),
                producers.clone(),
                consumers,
                data_producers.clone(),
                data_consumers.clone(),
                observers,
            ]
            .concat(),
            payload_channel_request_handlers: [transports.clone(), data_consumers].concat(),
            payload_channel_notification_handlers: [transports, producers, data_producers].concat(),
        },
    }
}

fn resource_usage() -> Result<ResourceUsage, Refusal> {
    let usage =
        getrusage(UsageWho::RUSAGE_SELF).map_err(|error| Refusal::error(format!("getrusage failed: {error}")))?;
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(ResourceUsage {
        ru_utime: millis(usage.user_time()),
        ru_stime: millis(usage.system_time()),
        ru_maxrss: count(usage.max_rss()),
        ru_ixrss: count(usage.shared_integral()),
        ru_idrss: count(usage.unshared_data_integral()),
        ru_isrss: count(usage.unshared_stack_integral()),
        ru_minflt: count(usage.minor_page_faults()),
        ru_majflt: count(usage.major_page_faults()),
        ru_nswap: count(usage.full_swaps()),
        ru_inblock: count(usage.block_reads()),
        ru_oublock: count(usage.block_writes()),
        ru_msgsnd: count(usage.ipc_sends()),
        ru_msgrcv: count(usage.ipc_receives()),
        ru_nsignals: count(usage.signals()),
        ru_nvcsw: count(usage.voluntary_context_switches()),
        ru_nivcsw: count(usage.involuntary_context_switches()),
    })
}

fn millis(time: TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1000 + time.tv_usec() / 1000).unwrap_or(0)
}
