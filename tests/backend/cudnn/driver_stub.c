/*
 * What cuDNN's libraries are linked with of the GPU's driver, libcuda.so.1, where there is none: they can be loaded, so
 * that plans can be made, and every call fails.
 */
#define FAILS(name)                                                                                          \
    int name(void);                                                                                          \
    int name(void)                                                                                           \
    {                                                                                                        \
        return 100; /* CUDA_ERROR_NO_DEVICE */                                                               \
    }

FAILS(cuGetErrorString)
FAILS(cuModuleGetFunction)
FAILS(cuModuleLoadData)
FAILS(cuModuleUnload)
FAILS(cuTensorMapEncodeIm2col)
FAILS(cuTensorMapEncodeTiled)
