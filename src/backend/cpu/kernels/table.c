#include "backend/cpu/kernels/run.h"

#define SN_TEXT2(name) #name
#define SN_TEXT(name) SN_TEXT2(name)

extern const sn_cpu_kernels SN_CPU_NAME(sn_cpu_kernels);

const sn_cpu_kernels SN_CPU_NAME(sn_cpu_kernels) = {
    .isa = SN_TEXT(SN_CPU_ISA),
    .name = SN_TEXT(SN_CPU_ISA) "-" SN_CPU_REVISION,
    .lanes = LANES,
    .run =
        {
            [SN_OP_CONV3D] = SN_CPU_RUN(conv3d),
            [SN_OP_CONV3D_BACKWARD_DATA] = SN_CPU_RUN(conv3d),
            [SN_OP_CONV3D_BACKWARD_WEIGHTS] = SN_CPU_RUN(conv3d_backward_weights),
            [SN_OP_BIAS] = SN_CPU_RUN(bias),
            [SN_OP_BIAS_BACKWARD] = SN_CPU_RUN(bias_backward),
            [SN_OP_BATCHNORM] = SN_CPU_RUN(batchnorm),
            [SN_OP_BATCHNORM_APPLY] = SN_CPU_RUN(batchnorm_apply),
            [SN_OP_BATCHNORM_BACKWARD] = SN_CPU_RUN(batchnorm_backward),
            [SN_OP_BATCHNORM_RUNNING] = SN_CPU_RUN(batchnorm_running),
            [SN_OP_PRELU] = SN_CPU_RUN(prelu),
            [SN_OP_PRELU_BACKWARD] = SN_CPU_RUN(prelu_backward),
            [SN_OP_SUM] = SN_CPU_RUN(sum),
            [SN_OP_MAXPOOL] = SN_CPU_RUN(maxpool),
            [SN_OP_MAXPOOL_BACKWARD] = SN_CPU_RUN(maxpool_backward),
            [SN_OP_UPSAMPLE] = SN_CPU_RUN(upsample),
            [SN_OP_UPSAMPLE_BACKWARD] = SN_CPU_RUN(upsample_backward),
            [SN_OP_CONCAT] = SN_CPU_RUN(concat),
            [SN_OP_WINDOW] = SN_CPU_RUN(window),
            [SN_OP_CHANNEL_DROPOUT] = SN_CPU_RUN(channel_dropout),
            [SN_OP_AFFINE_WARP] = SN_CPU_RUN(affine_warp),
            [SN_OP_SOFTMAX] = SN_CPU_RUN(softmax),
            [SN_OP_LOSS] = SN_CPU_RUN(loss),
            [SN_OP_OVERLAP] = SN_CPU_RUN(overlap),
            [SN_OP_ARGMAX] = SN_CPU_RUN(argmax),
            [SN_OP_NADAM] = SN_CPU_RUN(nadam),
            [SN_OP_AVERAGE] = SN_CPU_RUN(average),
        },
};
