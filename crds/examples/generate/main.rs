//! Writes `crds/manifests/`, one file a kind. Run it after every change of the kinds; a test compares.

mod manifest;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    std::fs::create_dir_all(&folder)?;
    for crd in sky_crds::schema::all() {
        let file = folder.join(manifest::file_name(&crd));
        std::fs::write(&file, manifest::text(&crd)?)?;
        println!("{}", file.display());
    }
    Ok(())
}
