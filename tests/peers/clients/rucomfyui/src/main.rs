//! rucomfyui: typed nodes, events with previews, uploads, errors, history and queue.

use futures::StreamExt;
use rucomfyui::error::ValidationError;
use rucomfyui::execute::PreviewImageFormat;
use rucomfyui::models::ModelCategory;
use rucomfyui::nodes::all::{
    CLIPTextEncode, DiffusersLoader, EmptyImage, EmptyLatentImage, ImageInvert, KSampler, LoadImage, PreviewImage,
    SaveImage, VAEDecode,
};
use rucomfyui::upload::UploadType;
use rucomfyui::{Client, ClientError, Event, Workflow, WorkflowGraph, WorkflowNodeId};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A picture of one colour, inverted and saved.
fn saved(width: i32, color: i32) -> (Workflow, WorkflowNodeId) {
    let graph = WorkflowGraph::new();
    let image = graph.add(EmptyImage { width, height: 64, batch_size: 1, color });
    let node = graph.add(SaveImage { images: graph.add(ImageInvert { image }), filename_prefix: "typed" });
    (graph.into_workflow(), node)
}

/// Four steps of the embedded base.
fn sampled() -> (Workflow, WorkflowNodeId) {
    let graph = WorkflowGraph::new();
    let base = graph.add(DiffusersLoader { model_path: "embedded-base" });
    let sampled = graph.add(KSampler {
        model: base.model,
        seed: u64::MAX,
        steps: 4,
        cfg: 2.0,
        sampler_name: "euler",
        scheduler: "normal",
        positive: graph.add(CLIPTextEncode { text: "glasses", clip: base.clip }),
        negative: graph.add(CLIPTextEncode { text: "", clip: base.clip }),
        latent_image: graph.add(EmptyLatentImage { width: 64, height: 64, batch_size: 1 }),
        denoise: 1.0,
    });
    let node = graph.add(PreviewImage { images: graph.add(VAEDecode { samples: sampled, vae: base.vae }) });
    (graph.into_workflow(), node)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> rucomfyui::Result<()> {
    let client = Client::new(std::env::var("ANAGAMA_URL").expect("ANAGAMA_URL"));
    let stats = client.system_stats().await?;
    assert!(!stats.devices.is_empty() && stats.system.ram_total > stats.system.ram_free);
    let nodes = client.get_object_info().await?;
    for (name, node) in &nodes {
        assert_eq!(name, &node.name);
        // Panics if an input has an order but no description.
        assert_eq!(node.all_inputs().count(), node.input.required.len() + node.input.optional.iter().flatten().count());
        assert_eq!(node.processed_output().count(), node.output.len());
    }
    assert_eq!(client.get_object_for_name("KSampler").await?, nodes["KSampler"]);
    assert!(matches!(client.get_object_for_name("NoSuchNode").await, Err(ClientError::ObjectNotFoundInInfo { .. })));
    assert!(client.get_model_categories().await?.contains(&ModelCategory::Loras));
    client.get_models(ModelCategory::Loras).await?;

    let (workflow, node) = saved(64, 0x33_66_CC);
    let outputs = client.execute(&workflow).await?.outputs().await?;
    assert!(outputs[&node].images.len() == 1 && outputs[&node].images[0].starts_with(PNG));

    let uploaded = client.upload_image("typed.png", outputs[&node].images[0].clone(), UploadType::Input, false).await?;
    assert_eq!(uploaded.upload_type, UploadType::Input);
    let graph = WorkflowGraph::new();
    let node = graph.add(PreviewImage { images: graph.add(LoadImage { image: uploaded.name.as_str() }).image });
    let shown = client.execute(&graph.into_workflow()).await?.outputs().await?;
    assert_eq!(shown[&node].images.len(), 1);

    let (workflow, node) = sampled();
    let mut execution = client.execute(&workflow).await?;
    let id = execution.prompt_id().to_owned();
    let (mut started, mut steps, mut previews, mut pictures, mut completed) = (false, 0, 0, 0, false);
    while let Some(event) = execution.next().await {
        match event? {
            Event::ExecutionStart { prompt_id } => started = prompt_id == id,
            Event::Progress { value, max: 4, .. } => steps = steps.max(value),
            Event::Preview { image, .. } => {
                assert_ne!(image.format, PreviewImageFormat::Unknown);
                previews += 1;
            }
            Event::Executed { node: from, output, .. } if from == node => pictures = output.images.len(),
            Event::Error { message, .. } => panic!("{message}"),
            Event::Completed { .. } => completed = true,
            _ => {}
        }
    }
    assert!(started && steps == 4 && previews > 0 && pictures == 1 && completed, "{steps} steps, {previews} previews");

    let (wrong, _) = saved(1_000_000, 0);
    match client.execute(&wrong).await.err() {
        Some(ClientError::Validation { node_errors: Some(nodes), error }) => {
            assert!(matches!(*error, ValidationError::PromptOutputsFailedValidation { .. }), "{error}");
            let errors: Vec<_> = nodes.values().flat_map(|n| &n.errors).collect();
            assert!(matches!(errors[..], [ValidationError::ValueBiggerThanMax { .. }]), "{errors:?}");
        }
        other => panic!("a width of a million was not refused: {other:?}"),
    }
    let graph = WorkflowGraph::new();
    graph.add(PreviewImage { images: graph.add(LoadImage { image: "absent.png" }).image });
    assert!(matches!(client.queue_prompt(&graph.into_workflow()).await, Err(ClientError::Validation { .. })));

    let history = client.get_history(10).await?;
    assert!(history.data.len() == 3 && history.data.values().all(|entry| entry.status.completed));
    client.delete_from_history(vec![id.clone()]).await?;
    assert!(client.get_history_for_prompt(&id).await?.data.is_empty());
    client.clear_history().await?;
    assert!(client.get_history(10).await?.data.is_empty());
    client.clear_queue().await?;
    client.interrupt().await?;
    client.free(true, true).await?;
    let queue = client.get_queue().await?;
    assert!(queue.running.is_empty() && queue.pending.is_empty());
    println!(
        "did: {} nodes in its types, typed workflows with progress and {previews} previews, an upload, errors",
        nodes.len()
    );
    Ok(())
}
