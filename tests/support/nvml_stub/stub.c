/* A stand-in for libnvidia-ml.so.1, built by the tests and loaded by the real pynvml.
 *
 * It answers from a control file (path in NVML_STUB_CONTROL) which is read again whenever it was
 * replaced, so that a test can change the hardware while a process watches it. Every figure is a
 * function of CLOCK_MONOTONIC and the file, hence the true energy is known exactly.
 *
 * The file is text, one fact a line, times in seconds since `epoch_ns` (CLOCK_MONOTONIC):
 *
 *   epoch_ns N               zero of all times
 *   driver TEXT              nvmlSystemGetDriverVersion
 *   init_error CODE          what nvmlInit returns (0: it works)
 *   log PATH                 append a line "init PID", "shutdown PID" or "limit GPU MW PID" for each
 *                            such call
 *   hang FUNCTION AT SECONDS HARD   calls between AT and AT+SECONDS return at AT+SECONDS, or earlier
 *                            with NVML_ERROR_UNKNOWN if a signal comes and HARD is 0
 *   gpus N
 *   gpu I name TEXT | uuid TEXT | pci TEXT | device_id N | architecture N | limit_mw N
 *   gpu I limit_least_mw N | limit_most_mw N    between which it may be set; 0: not at all
 *   gpu I constant WATTS     the power trace, one of three
 *   gpu I square LOW_W HIGH_W PERIOD_S DUTY      starts high
 *   gpu I ramp FROM_W TO_W SECONDS               then stays
 *   gpu I energy 0|1         has the counter (else NVML_ERROR_NOT_SUPPORTED)
 *   gpu I energy_scale F     the counter is wrong by this factor
 *   gpu I energy_tick S      the counter is renewed every S seconds
 *   gpu I energy_initial MJ  its value at the epoch
 *   gpu I energy_reset AT    it starts again from zero
 *   gpu I power 0|1          has nvmlDeviceGetPowerUsage
 *   gpu I power_update S     power readings are renewed every S seconds
 *   gpu I power_window S     nvmlDeviceGetPowerUsage is the mean over the last S seconds, 0: a point
 *   gpu I instant_window S   the same for the field value POWER_INSTANT, negative: not supported
 *   gpu I samples 0|1        has nvmlDeviceGetProcessUtilization
 *   gpu I process PID SM FROM TO   a process with this utilisation between two times
 *   gpu I compute PID        a line of nvmlDeviceGetComputeRunningProcesses
 *   gpu I temperature C | clock MHZ | mig 0|1
 *   gpu I fan PERCENT          negative: not supported (a card without one)
 *   gpu I busy PERCENT         utilisation; negative: that of the first process
 *   gpu I lost AT BACK       every call gives NVML_ERROR_GPU_IS_LOST between the two times
 *   gpu I fail FUNCTION CODE FROM TO   this call gives CODE between the two times
 */

#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
       TOO_SMALL = 7, LOST = 15, UNKNOWN = 999 };
enum { MAX_GPUS = 16, MAX_ROWS = 64, WORD = 96 };
enum { FI_POWER_AVERAGE = 185, FI_POWER_INSTANT = 186 };

typedef struct { char function[WORD]; int code; double from, to; } Fault;
typedef struct { unsigned pid, sm; double from, to; } Process;

typedef struct {
    char name[WORD], uuid[WORD], pci[32], trace[16];
    double a, b, c, d; /* the trace's parameters */
    unsigned device_id, architecture, limit_mw, limit_least_mw, limit_most_mw, temperature, clock, mig;
    int energy, power, samples, fan, busy;
    double energy_scale, energy_tick, energy_initial, energy_reset;
    double power_update, power_window, instant_window;
    double lost, back;
    Fault faults[MAX_ROWS]; int fault_count;
    Process processes[MAX_ROWS]; int process_count;
    unsigned compute[MAX_ROWS]; int compute_count;
} Gpu;

static struct {
    long long epoch_ns;
    char driver[WORD], log[512];
    int init_error, gpu_count;
    struct { char function[WORD]; double at, seconds; int hard; } hangs[MAX_ROWS];
    int hang_count;
    Gpu gpus[MAX_GPUS];
} control;
static struct timespec control_time;
static ino_t control_inode;
static int initialised;

/* ---- the control file --------------------------------------------------------------------- */

static void read_gpu(int index, char *rest) {
    char key[WORD] = "", word[WORD] = "";
    int used = 0;
    if (index < 0 || index >= MAX_GPUS || sscanf(rest, "%95s %n", key, &used) < 1) return;
    Gpu *g = &control.gpus[index];
    char *value = rest + used;
#define TEXT(field) if (!strcmp(key, #field)) { snprintf(g->field, sizeof g->field, "%s", value); return; }
#define NUMBER(field) if (!strcmp(key, #field)) { g->field = atof(value); return; }
    TEXT(name) TEXT(uuid) TEXT(pci)
    NUMBER(device_id) NUMBER(architecture) NUMBER(limit_mw) NUMBER(limit_least_mw) NUMBER(limit_most_mw)
    NUMBER(temperature) NUMBER(clock)
    NUMBER(fan) NUMBER(busy) NUMBER(mig) NUMBER(energy) NUMBER(power) NUMBER(samples) NUMBER(energy_scale)
    NUMBER(energy_tick) NUMBER(energy_initial) NUMBER(energy_reset) NUMBER(power_update)
    NUMBER(power_window) NUMBER(instant_window)
    if (!strcmp(key, "constant") || !strcmp(key, "square") || !strcmp(key, "ramp")) {
        memcpy(g->trace, key, sizeof g->trace - 1);
        sscanf(value, "%lf %lf %lf %lf", &g->a, &g->b, &g->c, &g->d);
    } else if (!strcmp(key, "lost")) {
        sscanf(value, "%lf %lf", &g->lost, &g->back);
    } else if (!strcmp(key, "fail") && g->fault_count < MAX_ROWS) {
        Fault *f = &g->faults[g->fault_count++];
        if (sscanf(value, "%95s %d %lf %lf", word, &f->code, &f->from, &f->to) == 4)
            memcpy(f->function, word, sizeof word);
    } else if (!strcmp(key, "process") && g->process_count < MAX_ROWS) {
        Process *p = &g->processes[g->process_count++];
        sscanf(value, "%u %u %lf %lf", &p->pid, &p->sm, &p->from, &p->to);
    } else if (!strcmp(key, "compute") && g->compute_count < MAX_ROWS) {
        g->compute[g->compute_count++] = strtoul(value, NULL, 10);
    }
}

static void read_control(void) {
    const char *path = getenv("NVML_STUB_CONTROL");
    struct stat status;
    if (!path || stat(path, &status)) return;
    if (status.st_ino == control_inode && status.st_mtim.tv_sec == control_time.tv_sec &&
        status.st_mtim.tv_nsec == control_time.tv_nsec) return;
    FILE *file = fopen(path, "re");
    if (!file) return;
    memset(&control, 0, sizeof control);
    control_inode = status.st_ino;
    control_time = status.st_mtim;
    char line[1024];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char key[WORD] = "";
        int used = 0, index = 0, more = 0;
        if (sscanf(line, "%95s %n", key, &used) < 1) continue;
        char *value = line + used;
        if (!strcmp(key, "epoch_ns")) control.epoch_ns = atoll(value);
        else if (!strcmp(key, "driver")) snprintf(control.driver, WORD, "%s", value);
        else if (!strcmp(key, "log")) snprintf(control.log, sizeof control.log, "%s", value);
        else if (!strcmp(key, "init_error")) control.init_error = atoi(value);
        else if (!strcmp(key, "gpus")) control.gpu_count = atoi(value);
        else if (!strcmp(key, "hang") && control.hang_count < MAX_ROWS) {
            int h = control.hang_count++;
            sscanf(value, "%95s %lf %lf %d", control.hangs[h].function, &control.hangs[h].at,
                   &control.hangs[h].seconds, &control.hangs[h].hard);
        } else if (!strcmp(key, "gpu") && sscanf(value, "%d %n", &index, &more) >= 1)
            read_gpu(index, value + more);
    }
    fclose(file);
}

/* ---- time, energy, faults ----------------------------------------------------------------- */

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((long long)t.tv_sec * 1000000000LL + t.tv_nsec - control.epoch_ns) / 1e9;
}

static double power_w(const Gpu *g, double t) {
    if (!strcmp(g->trace, "square")) return t - floor(t / g->c) * g->c < g->c * g->d ? g->b : g->a;
    if (!strcmp(g->trace, "ramp"))
        return t <= 0 ? g->a : t >= g->c ? g->b : g->a + (g->b - g->a) * t / g->c;
    return g->a;
}

static double energy_j(const Gpu *g, double t) { /* since the epoch; also before it */
    if (!strcmp(g->trace, "square")) {
        double high = g->c * g->d, periods = floor(t / g->c), part = t - periods * g->c;
        double each = g->b * high + g->a * (g->c - high);
        return periods * each + (part < high ? part * g->b : high * g->b + (part - high) * g->a);
    }
    if (!strcmp(g->trace, "ramp")) {
        if (t <= 0) return t * g->a;
        if (t <= g->c) return t * (g->a + power_w(g, t)) / 2;
        return g->c * (g->a + g->b) / 2 + (t - g->c) * g->b;
    }
    return t * g->a;
}

static double reading_w(const Gpu *g, double window) {
    double t = floor(now_s() / g->power_update) * g->power_update;
    return window > 0 ? (energy_j(g, t) - energy_j(g, t - window)) / window : power_w(g, t);
}

static int hang(const char *function) { /* nonzero if a signal cut it short */
    for (int h = 0; h < control.hang_count; h++) {
        double end = control.hangs[h].at + control.hangs[h].seconds;
        if (strcmp(control.hangs[h].function, function) || now_s() < control.hangs[h].at) continue;
        while (now_s() < end) {
            double left = end - now_s();
            struct timespec pause = {(time_t)left, (long)((left - floor(left)) * 1e9)};
            if (nanosleep(&pause, NULL) && errno == EINTR && !control.hangs[h].hard) return 1;
        }
    }
    return 0;
}

static int enter(const char *function, const Gpu *g) {
    read_control();
    if (hang(function)) return UNKNOWN;
    if (!initialised) return UNINITIALIZED;
    if (!g) return SUCCESS;
    if (g < control.gpus || g >= control.gpus + control.gpu_count) return INVALID;
    double t = now_s();
    if (t >= g->lost && t < g->back) return LOST;
    for (int f = 0; f < g->fault_count; f++)
        if (!strcmp(g->faults[f].function, function) && t >= g->faults[f].from && t < g->faults[f].to)
            return g->faults[f].code;
    return SUCCESS;
}
#define ENTER(g) do { int code_ = enter(__func__, g); if (code_) return code_; } while (0)

static void note(const char *what) {
    if (!*control.log) return;
    FILE *file = fopen(control.log, "ae");
    if (!file) return;
    fprintf(file, "%s %d\n", what, getpid());
    fclose(file);
}

/* ---- nvml.h ------------------------------------------------------------------------------- */

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_control();
    if (hang(__func__)) return UNKNOWN;
    if (control.init_error) return control.init_error;
    initialised = 1;
    note("init");
    return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { ENTER(NULL); initialised = 0; note("shutdown"); return SUCCESS; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case SUCCESS: return "Success";
    case NOT_SUPPORTED: return "Not Supported";
    case LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    ENTER(NULL); snprintf(text, size, "%s", control.driver); return SUCCESS;
}
int nvmlSystemGetNVMLVersion(char *text, unsigned size) {
    ENTER(NULL); snprintf(text, size, "12.%s", control.driver); return SUCCESS;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { ENTER(NULL); *version = 12040; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { ENTER(NULL); *count = control.gpu_count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) {
    ENTER(NULL);
    if (index >= (unsigned)control.gpu_count) return INVALID;
    *gpu = &control.gpus[index];
    return enter(__func__, *gpu);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Gpu **gpu) {
    ENTER(NULL);
    for (int i = 0; i < control.gpu_count; i++)
        if (!strcmp(control.gpus[i].uuid, uuid)) {
            *gpu = &control.gpus[i];
            return enter(__func__, *gpu);
        }
    return NOT_FOUND;
}
int nvmlDeviceGetIndex(Gpu *g, unsigned *index) { ENTER(g); *index = g - control.gpus; return SUCCESS; }
int nvmlDeviceGetName(Gpu *g, char *text, unsigned size) {
    ENTER(g); snprintf(text, size, "%s", g->name); return SUCCESS;
}
int nvmlDeviceGetUUID(Gpu *g, char *text, unsigned size) {
    ENTER(g); snprintf(text, size, "%s", g->uuid); return SUCCESS;
}

typedef struct {
    char legacy[16]; unsigned domain, bus, device, device_id, subsystem; char id[32];
} Pci;
int nvmlDeviceGetPciInfo_v3(Gpu *g, Pci *pci) {
    ENTER(g);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->id, sizeof pci->id, "%s", g->pci);
    sscanf(g->pci, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    pci->device_id = g->device_id << 16 | 0x10de;
    return SUCCESS;
}

int nvmlDeviceGetArchitecture(Gpu *g, unsigned *value) { ENTER(g); *value = g->architecture; return SUCCESS; }
int nvmlDeviceGetEnforcedPowerLimit(Gpu *g, unsigned *mw) { ENTER(g); *mw = g->limit_mw; return SUCCESS; }

/* A limit that was set lies beside the control file, so that all processes see it, as in a driver. */
static const char *limit_file(const Gpu *g) {
    static char path[600];
    snprintf(path, sizeof path, "%s.limit-%d", getenv("NVML_STUB_CONTROL"), (int)(g - control.gpus));
    return path;
}
int nvmlDeviceGetPowerManagementLimit(Gpu *g, unsigned *mw) {
    ENTER(g);
    *mw = g->limit_mw;
    FILE *file = fopen(limit_file(g), "re");
    if (file) {
        if (fscanf(file, "%u", mw) != 1) *mw = g->limit_mw;
        fclose(file);
    }
    return SUCCESS;
}
int nvmlDeviceGetPowerManagementLimitConstraints(Gpu *g, unsigned *least, unsigned *most) {
    ENTER(g);
    if (!g->limit_least_mw) return NOT_SUPPORTED;
    *least = g->limit_least_mw;
    *most = g->limit_most_mw;
    return SUCCESS;
}
int nvmlDeviceSetPowerManagementLimit(Gpu *g, unsigned mw) {
    ENTER(g);
    if (mw < g->limit_least_mw || mw > g->limit_most_mw) return 2; /* INVALID_ARGUMENT */
    char fresh[620];
    snprintf(fresh, sizeof fresh, "%s.new", limit_file(g));
    FILE *file = fopen(fresh, "we");
    if (!file) return UNKNOWN;
    fprintf(file, "%u\n", mw);
    fclose(file);
    if (rename(fresh, limit_file(g))) return UNKNOWN;
    char text[64];
    snprintf(text, sizeof text, "limit %d %u", (int)(g - control.gpus), mw);
    note(text);
    return SUCCESS;
}
int nvmlDeviceGetTemperature(Gpu *g, unsigned sensor, unsigned *c) {
    (void)sensor; ENTER(g); *c = g->temperature; return SUCCESS;
}
int nvmlDeviceGetClockInfo(Gpu *g, unsigned type, unsigned *mhz) {
    (void)type; ENTER(g); *mhz = g->clock; return SUCCESS;
}
int nvmlDeviceGetFanSpeed(Gpu *g, unsigned *percent) {
    ENTER(g);
    if (g->fan < 0) return NOT_SUPPORTED;
    *percent = (unsigned)g->fan;
    return SUCCESS;
}
int nvmlDeviceGetMigMode(Gpu *g, unsigned *current, unsigned *pending) {
    ENTER(g); *current = *pending = g->mig; return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(Gpu *g, unsigned long long *info) {
    ENTER(g); info[0] = 80ULL << 30; info[1] = 79ULL << 30; info[2] = 1ULL << 30; return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(Gpu *g, unsigned long long *mj) {
    ENTER(g);
    if (!g->energy) return NOT_SUPPORTED;
    double now = now_s(), t = floor(now / g->energy_tick) * g->energy_tick;
    double from = 0, initial = g->energy_initial;
    if (g->energy_reset >= 0 && now >= g->energy_reset) {
        from = g->energy_reset;
        initial = 0;
        if (t < from) t = from;
    }
    *mj = (unsigned long long)floor(
        initial + (energy_j(g, t) - energy_j(g, from)) * 1e3 * g->energy_scale);
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(Gpu *g, unsigned *mw) {
    ENTER(g);
    if (!g->power) return NOT_SUPPORTED;
    *mw = (unsigned)lround(reading_w(g, g->power_window) * 1e3);
    return SUCCESS;
}

typedef struct {
    uint32_t field, scope; int64_t timestamp, latency; uint32_t type, code;
    union { double d; unsigned u; unsigned long long ull; } value;
} FieldValue;
int nvmlDeviceGetFieldValues(Gpu *g, int count, FieldValue *values) {
    ENTER(g);
    for (int i = 0; i < count; i++) {
        double window = values[i].field == FI_POWER_INSTANT   ? g->instant_window
                        : values[i].field == FI_POWER_AVERAGE ? (g->instant_window < 0 ? -1 : 1.0)
                                                              : -1;
        values[i].code = window < 0 ? NOT_SUPPORTED : SUCCESS;
        values[i].type = 1; /* unsigned int */
        if (window >= 0) values[i].value.u = (unsigned)lround(reading_w(g, window) * 1e3);
    }
    return SUCCESS;
}

typedef struct { unsigned pid; unsigned long long stamp_us; unsigned sm, mem, enc, dec; } Sample;
int nvmlDeviceGetProcessUtilization(Gpu *g, Sample *samples, unsigned *count, unsigned long long seen_us) {
    ENTER(g);
    if (!g->samples) return NOT_SUPPORTED;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    long long shift_us = wall.tv_sec * 1000000LL + wall.tv_nsec / 1000 - (long long)(now_s() * 1e6);
    unsigned found = 0;
    /* One sample a process every quarter of a second; the driver keeps a minute of them. */
    double last = floor(now_s() * 4) / 4;
    for (double t = last - 60; t <= last; t += 0.25)
        for (int p = 0; p < g->process_count; p++) {
            const Process *one = &g->processes[p];
            unsigned long long stamp = shift_us + (long long)(t * 1e6);
            if (stamp <= seen_us || t < one->from || t >= one->to) continue;
            if (samples && found < *count) samples[found] = (Sample){one->pid, stamp, one->sm, 0, 0, 0};
            found++;
        }
    if (!found) return NOT_FOUND;
    int fits = samples && *count >= found;
    *count = found;
    return fits ? SUCCESS : TOO_SMALL;
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gi, ci; } ProcessInfo;
int nvmlDeviceGetComputeRunningProcesses_v3(Gpu *g, unsigned *count, ProcessInfo *processes) {
    ENTER(g);
    unsigned room = *count;
    *count = g->compute_count;
    if (!g->compute_count) return SUCCESS;
    if (!processes || room < *count) return TOO_SMALL;
    for (unsigned i = 0; i < *count; i++)
        processes[i] = (ProcessInfo){g->compute[i], 1ULL << 30, ~0u, ~0u};
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Gpu *g, unsigned *rates) {
    ENTER(g);
    rates[0] = g->busy >= 0 ? (unsigned)g->busy : g->process_count ? g->processes[0].sm : 0;
    rates[1] = 0;
    return SUCCESS;
}
