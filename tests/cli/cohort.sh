# Sourced by the tests on Debian's labelled brain, after `program` and `root`: skips them where it is not installed.
templates=/usr/share/mricron/templates
[ -e $templates/ch2.nii.gz ] || exit 77
. "$(dirname "$0")/expect.sh"

# cohort COUNT FOLDER [SPACING]: a data set of deformed brains, with voxels of 16 mm unless another size is said.
cohort() {
    expect 0 '*' synth $templates/ch2.nii.gz $templates/aal.nii.gz -n "$1" -o "$2" --spacing "${3:-16}" \
        --structures "$root/examples/aal_merged.json"
}
