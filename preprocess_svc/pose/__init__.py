"""Turn OpenPose's maps into the skeleton picture that ControlNets were trained on, with NumPy and OpenCV only.

The rule is that of controlnet_aux 0.0.10's `open_pose` (after Cao et al., "OpenPose", TPAMI 2021; Simon et al., CVPR
2017 for hands), which drew the training pictures of lllyasviel/control_v11p_sd15_openpose.
"""
