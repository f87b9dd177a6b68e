//! RTP observers.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_observer_follows_its_worker() {
    let Bench { worker, router, transport, .. } = bench().await;
    let producer = produce(&transport, 1, None).await;
    let levels = router.create_audio_level_observer(AudioLevelObserverOptions::default()).await.expect("an observer");
    let asked = &worker.asked(Method::RouterCreateAudioLevelObserver)[0].data;
    let id = levels.id().to_owned();
    assert_eq!(*asked, json!({"rtpObserverId": id, "maxEntries": 1, "threshold": -80, "interval": 1000}));
    levels.add_producer(producer.id()).await.expect("it listens");
    assert!(matches!(levels.add_producer("nobody").await, Err(Error::ProducerNotFound(_))));
    assert!(!levels.paused());
    levels.pause().await.expect("it stops");
    assert!(levels.paused());
    let added = &worker.asked(Method::RtpObserverAddProducer)[0];
    assert_eq!((added.handler_id.as_deref(), &added.data), (Some(id.as_str()), &json!({"producerId": producer.id()})));

    let mut events = levels.events();
    worker.notify(&id, "volumes", json!([{"producerId": "p", "volume": -20}])).await;
    let RtpObserverEvent::Volumes(volumes) = next(&mut events).await else { panic!("volumes") };
    assert_eq!((volumes[0].producer_id.as_str(), volumes[0].volume), ("p", -20));
    worker.notify(&id, "silence", Value::Null).await;
    assert_eq!(next(&mut events).await, RtpObserverEvent::Silence);
    levels.close().await.expect("it is there");
    assert_eq!(next(&mut events).await, RtpObserverEvent::Close);
    assert_eq!(worker.asked(Method::RouterCloseRtpObserver)[0].data, json!({"rtpObserverId": id}));

    let speaker = router.create_active_speaker_observer(300).await.expect("an observer");
    let mut events = speaker.events();
    worker.notify(speaker.id(), "dominantspeaker", json!({"producerId": "p"})).await;
    assert_eq!(next(&mut events).await, RtpObserverEvent::DominantSpeaker("p".to_owned()));
    router.close().await.expect("it is there");
    assert_eq!(next(&mut events).await, RtpObserverEvent::RouterClose);
}
