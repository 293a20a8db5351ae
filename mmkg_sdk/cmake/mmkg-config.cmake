# find_package(mmkg): mmkg::kernels, the C interface, and mmkg::model, the C++ library; COMPONENTS kernels model asks for
# one. CMakeLists.txt of the project writes mmkg-targets.cmake beside this file.
if(NOT EXISTS "${CMAKE_CURRENT_LIST_DIR}/mmkg-targets.cmake")
    set(mmkg_FOUND FALSE)
    set(mmkg_NOT_FOUND_MESSAGE
        "mmkg_sdk was installed without its compiled libraries; install a C++17 compiler, then reinstall it.")
    return()
endif()
include("${CMAKE_CURRENT_LIST_DIR}/mmkg-targets.cmake")

foreach(component IN LISTS mmkg_FIND_COMPONENTS)
    if(TARGET mmkg::${component})
        set(mmkg_${component}_FOUND TRUE)
    elseif(mmkg_FIND_REQUIRED_${component})
        set(mmkg_FOUND FALSE)
        string(CONCAT mmkg_NOT_FOUND_MESSAGE
               "there is no mmkg::${component} in this installation; expected kernels or model. mmkg::model needs "
               "nlohmann-json when mmkg is built.")
    endif()
endforeach()
